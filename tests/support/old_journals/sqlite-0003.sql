BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0003');
CREATE TABLE leases (
	server TEXT NOT NULL,
	holder TEXT NOT NULL,
	who TEXT NOT NULL,
	since DATETIME NOT NULL,
	expires DATETIME NOT NULL,
	run INTEGER,
	PRIMARY KEY (server)
);
INSERT INTO "leases" VALUES('https://id.example.com','0123456789abcdef0123456789abcdef','eve on desk','2026-11-28 22:46:08.695636','2026-11-28 22:47:08.696495',3);
CREATE TABLE meta (
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('salt','97f0f85cb10a43dd39f87ec6670aa595388cbdce81a889888201252cf200aff6');
INSERT INTO "meta" VALUES('written_by','0.1.0');
CREATE TABLE runs (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	server TEXT NOT NULL,
	command TEXT NOT NULL,
	who TEXT NOT NULL,
	spec_digest TEXT NOT NULL,
	plan_digest TEXT NOT NULL,
	tool_version TEXT NOT NULL,
	outcome TEXT NOT NULL,
	started DATETIME NOT NULL,
	ended DATETIME
, message TEXT NOT NULL DEFAULT '');
INSERT INTO "runs" VALUES(1,'https://id.example.com','apply','eve on desk','sha256:1','','0.1.0','done','2026-11-28 22:46:08.626004','2026-11-28 22:46:08.639881','Launch of Acme');
INSERT INTO "runs" VALUES(2,'https://other.example.com','apply --plan','bob','','sha256:2','0.1.0','done','2026-11-28 22:46:08.645364','2026-11-28 22:46:08.648936','');
INSERT INTO "runs" VALUES(3,'https://id.example.com','rotate','eve on desk','','','0.1.0','running','2026-11-28 22:46:08.650329',NULL,'SMTP password leaked, ticket 42');
CREATE TABLE writes (
	run INTEGER NOT NULL,
	realm TEXT NOT NULL,
	position INTEGER NOT NULL,
	server TEXT NOT NULL,
	"before" TEXT NOT NULL,
	intent TEXT,
	fingerprints TEXT NOT NULL,
	step TEXT NOT NULL,
	"after" TEXT,
	error TEXT NOT NULL,
	started DATETIME,
	ended DATETIME,
	PRIMARY KEY (run, realm),
	FOREIGN KEY(run) REFERENCES runs (number)
);
INSERT INTO "writes" VALUES(1,'acme',0,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','verified','{"host":"smtp.example.com","password":"**********"}','','2026-11-28 22:46:08.633092','2026-11-28 22:46:08.637017');
INSERT INTO "writes" VALUES(1,'Übung',1,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','verified','{"host":"smtp.example.com"}','','2026-11-28 22:46:08.633092','2026-11-28 22:46:08.637017');
INSERT INTO "writes" VALUES(1,'globex',2,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','verified','{"host":"smtp.example.com"}','','2026-11-28 22:46:08.633092','2026-11-28 22:46:08.637017');
INSERT INTO "writes" VALUES(2,'acme',0,'https://other.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"other.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','accepted',NULL,'',NULL,'2026-11-28 22:46:08.646008');
INSERT INTO "writes" VALUES(3,'acme',0,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','writing',NULL,'','2026-11-28 22:46:08.652967',NULL);
INSERT INTO "writes" VALUES(3,'globex',1,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','failed','{"host":"smtp.example.com"}','the server did not keep `host` as written','2026-11-28 22:46:08.652967','2026-11-28 22:46:08.653631');
INSERT INTO "writes" VALUES(3,'initech',2,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','planned',NULL,'',NULL,NULL);
CREATE INDEX writes_by_realm ON writes (server, realm, step, run);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',3);
COMMIT;
