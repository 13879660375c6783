BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE journal_requests (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	server TEXT NOT NULL,
	name TEXT NOT NULL,
	queue TEXT NOT NULL,
	kind TEXT NOT NULL,
	content TEXT NOT NULL,
	digest TEXT NOT NULL,
	request_key TEXT NOT NULL,
	priority INTEGER NOT NULL,
	who TEXT NOT NULL,
	message TEXT NOT NULL,
	tool_version TEXT NOT NULL,
	state TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	is_cancelled INTEGER NOT NULL,
	exit_status INTEGER,
	summary TEXT NOT NULL,
	report TEXT NOT NULL,
	report_text TEXT NOT NULL,
	mails TEXT NOT NULL,
	submitted DATETIME NOT NULL,
	due DATETIME NOT NULL,
	started DATETIME,
	ended DATETIME
);
INSERT INTO "journal_requests" VALUES(1,'https://id.example.com','prod','default','apply','{"format":1,"realms":[]}','sha256:apply','order 4711',0,'eve on desk','SMTP password leaked, ticket 42','0.1.0','running',1,0,NULL,'','','','','2026-11-29 02:56:24.303374','2026-11-29 02:56:24.303374','2026-11-29 02:56:24.314013',NULL);
INSERT INTO "journal_requests" VALUES(2,'https://id.example.com','prod','default','drift','{"format":1,"realms":[]}','sha256:drift','',0,'eve on desk','','0.1.0','waiting',0,0,NULL,'','','','','2026-11-29 02:56:24.306164','2026-11-29 02:56:24.306164',NULL,NULL);
INSERT INTO "journal_requests" VALUES(3,'https://other.example.com','prod','default','test-stored','{"format":1,"realms":[]}','sha256:test-stored','',0,'eve on desk','','0.1.0','done',1,0,0,'1 realm: works','{}','acme works
','','2026-11-29 02:56:24.310033','2026-11-29 02:56:24.310033','2026-11-29 02:56:24.310748','2026-11-29 02:56:24.312960');
CREATE TABLE journal_servers (
	server TEXT NOT NULL,
	name TEXT NOT NULL,
	queue TEXT NOT NULL,
	PRIMARY KEY (server)
);
INSERT INTO "journal_servers" VALUES('https://id.example.com','prod','default');
INSERT INTO "journal_servers" VALUES('https://other.example.com','prod','default');
CREATE TABLE leases (
	server TEXT NOT NULL,
	holder TEXT NOT NULL,
	who TEXT NOT NULL,
	since DATETIME NOT NULL,
	expires DATETIME NOT NULL,
	run INTEGER,
	PRIMARY KEY (server)
);
INSERT INTO "leases" VALUES('https://id.example.com','0123456789abcdef0123456789abcdef','eve on desk','2026-11-29 02:56:24.316309','2026-11-29 02:57:24.316309',3);
CREATE TABLE meta (
	name TEXT NOT NULL,
	value TEXT NOT NULL,
	PRIMARY KEY (name)
);
INSERT INTO "meta" VALUES('salt','2cb141de1aa4342a5687ffff5df419c07167b590358ee44843c57e3c6973678e');
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
, message TEXT NOT NULL DEFAULT '', request INTEGER);
INSERT INTO "runs" VALUES(1,'https://id.example.com','apply','eve on desk','sha256:1','','0.1.0','done','2026-11-29 02:56:24.295741','2026-11-29 02:56:24.298005','Launch of Acme',NULL);
INSERT INTO "runs" VALUES(2,'https://other.example.com','apply --plan','bob','','sha256:2','0.1.0','done','2026-11-29 02:56:24.298449','2026-11-29 02:56:24.302122','',NULL);
INSERT INTO "runs" VALUES(3,'https://id.example.com','rotate','eve on desk','','','0.1.0','running','2026-11-29 02:56:24.316309',NULL,'SMTP password leaked, ticket 42',1);
CREATE TABLE writes (
	run INTEGER NOT NULL,
	realm TEXT NOT NULL,
	position INTEGER NOT NULL,
	server TEXT NOT NULL,
	before TEXT NOT NULL,
	intent TEXT,
	fingerprints TEXT NOT NULL,
	step TEXT NOT NULL,
	after TEXT,
	error TEXT NOT NULL,
	started DATETIME,
	ended DATETIME,
	PRIMARY KEY (run, realm),
	FOREIGN KEY (run) REFERENCES runs (number)
);
INSERT INTO "writes" VALUES(1,'acme',0,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','verified','{"host":"smtp.example.com","password":"**********"}','','2026-11-29 02:56:24.296843','2026-11-29 02:56:24.297373');
INSERT INTO "writes" VALUES(1,'Übung',1,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','verified','{"host":"smtp.example.com"}','','2026-11-29 02:56:24.296843','2026-11-29 02:56:24.297373');
INSERT INTO "writes" VALUES(1,'globex',2,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','verified','{"host":"smtp.example.com"}','','2026-11-29 02:56:24.296843','2026-11-29 02:56:24.297373');
INSERT INTO "writes" VALUES(2,'acme',0,'https://other.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"other.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','accepted',NULL,'',NULL,'2026-11-29 02:56:24.300604');
INSERT INTO "writes" VALUES(3,'acme',0,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','writing',NULL,'','2026-11-29 02:56:24.317640',NULL);
INSERT INTO "writes" VALUES(3,'globex',1,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"new.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','failed','{"host":"smtp.example.com"}','the server did not keep `host` as written','2026-11-29 02:56:24.317640','2026-11-29 02:56:24.322087');
INSERT INTO "writes" VALUES(3,'initech',2,'https://id.example.com','{"host":"old.example.com","password":"**********"}','{"relay.host":"smtp.example.com","relay.port":587,"relay.security":{"security":"starttls"},"relay.auth.password":{"secret":"env","argument":["SMTP"],"base":""}}','{"relay.auth.password":"5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"}','planned',NULL,'',NULL,NULL);
CREATE INDEX writes_by_realm ON writes (server, realm, step, run);
CREATE UNIQUE INDEX requests_by_digest ON journal_requests (digest, request_key)
	WHERE state IN ('waiting', 'running');
CREATE UNIQUE INDEX requests_by_key ON journal_requests (server, request_key) WHERE request_key <> '';
CREATE INDEX requests_left ON journal_requests (server, priority, number) WHERE state IN ('waiting', 'running');
CREATE INDEX requests_to_stop ON journal_requests (number) WHERE state = 'running' AND is_cancelled = 1;
CREATE INDEX requests_by_end ON journal_requests (ended) WHERE ended IS NOT NULL;
CREATE INDEX runs_by_request ON runs (request) WHERE request IS NOT NULL;
CREATE INDEX runs_by_server ON runs (server, number);
CREATE INDEX writes_in_doubt ON writes (server, realm, run) WHERE step IN ('writing', 'written');
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('runs',3);
INSERT INTO "sqlite_sequence" VALUES('journal_requests',3);
COMMIT;
