-- Runs, their writes, leases, and what the journal says of itself.
-- The version table has the name that the tool of the first releases gave it: older programs look for it there.
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE meta (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE runs (
    number $auto_number,
    server TEXT NOT NULL,
    command TEXT NOT NULL,
    who TEXT NOT NULL,
    spec_digest TEXT NOT NULL,
    plan_digest TEXT NOT NULL,
    tool_version TEXT NOT NULL,
    outcome TEXT NOT NULL,
    started $time NOT NULL,
    ended $time
);

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
    started $time,
    ended $time,
    PRIMARY KEY (run, realm),
    FOREIGN KEY (run) REFERENCES runs (number)
);

CREATE TABLE leases (
    server TEXT NOT NULL,
    holder TEXT NOT NULL,
    who TEXT NOT NULL,
    since $time NOT NULL,
    expires $time NOT NULL,
    run INTEGER,
    PRIMARY KEY (server)
);
