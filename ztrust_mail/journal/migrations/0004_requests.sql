-- Requests that wait for a worker, or were ended by one. A row names settings and references, never a secret.
CREATE TABLE journal_requests (
    number $auto_number,
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
    submitted $time NOT NULL,
    due $time NOT NULL,
    started $time,
    ended $time
);
CREATE UNIQUE INDEX requests_by_digest ON journal_requests (digest, request_key)
    WHERE state IN ('waiting', 'running');
CREATE UNIQUE INDEX requests_by_key ON journal_requests (server, request_key) WHERE request_key <> '';
CREATE INDEX requests_left ON journal_requests (server, priority, number) WHERE state IN ('waiting', 'running');
CREATE INDEX requests_to_stop ON journal_requests (number) WHERE state = 'running' AND is_cancelled = 1;
CREATE INDEX requests_by_end ON journal_requests (ended) WHERE ended IS NOT NULL;

-- One row for each server that ever had a request. A transaction that adds or takes requests locks it.
CREATE TABLE journal_servers (
    server TEXT NOT NULL,
    name TEXT NOT NULL,
    queue TEXT NOT NULL,
    PRIMARY KEY (server)
);

-- The request that a run was made for.
ALTER TABLE runs ADD COLUMN request INTEGER;
CREATE INDEX runs_by_request ON runs (request) WHERE request IS NOT NULL;

-- A journal of many servers has many runs, and each run looks for the newest ones of its server.
CREATE INDEX runs_by_server ON runs (server, number);

-- Each run looks for the few writes of its server whose outcome is unknown.
CREATE INDEX writes_in_doubt ON writes (server, realm, run) WHERE step IN ('writing', 'written');
