"""The journal's SQL statements, for SQLite and PostgreSQL alike.

The database filters, so that a long history does not slow plans down. Steps and outcomes are written here as they are
stored; a test compares the statements with what :class:`Step` says of each.
"""

from typing import Final

from ztrust_mail.journal.records import NOT_KEPT

# The journal about itself

VERSIONS_TABLE: Final = "alembic_version"
TABLES: Final = frozenset(("meta", "runs", "writes", "leases", "journal_requests", "journal_servers"))
VERSION: Final = "SELECT version_num FROM alembic_version"
DELETE_VERSION: Final = "DELETE FROM alembic_version"
INSERT_VERSION: Final = "INSERT INTO alembic_version (version_num) VALUES (:version)"
META: Final = "SELECT name, value FROM meta"
DELETE_META: Final = "DELETE FROM meta WHERE name = :name"
INSERT_META: Final = "INSERT INTO meta (name, value) VALUES (:name, :value)"


# Runs and their writes

NEW_RUN: Final = """
INSERT INTO runs (server, command, who, spec_digest, plan_digest, message, request, tool_version, outcome, started)
VALUES (:server, :command, :who, :spec_digest, :plan_digest, :message, :request, :tool_version, :outcome, :started)
RETURNING number
"""
NEW_WRITE: Final = """
INSERT INTO writes (run, realm, position, server, before, intent, fingerprints, step, after, error)
VALUES (:run, :realm, :position, :server, :before, :intent, :fingerprints, :step, :after, :error)
"""
NEXT_STEP: Final = """
UPDATE writes SET step = :step, error = :error, after = coalesce(:after, after),
    started = coalesce(:started, started), ended = coalesce(:ended, ended)
WHERE run = :run AND realm = :realm
"""
STILL_OPEN: Final = " AND step IN ('planned', 'writing', 'written')"
"""Appended to ``NEXT_STEP`` by a run that lost its lease: the run that followed may have settled the write."""

END_OF_RUN: Final = "UPDATE runs SET outcome = :outcome, ended = coalesce(ended, :now) WHERE number = :run"
STILL_RUNNING: Final = " AND outcome = 'running'"
"""Also appended to ``END_OF_RUN``."""

NEWEST_RUNS: Final = "SELECT * FROM runs ORDER BY number DESC LIMIT :limit"
NEWEST_RUNS_ON: Final = "SELECT * FROM runs WHERE server = :server ORDER BY number DESC LIMIT :limit"
RUN: Final = "SELECT * FROM runs WHERE number = :run"
RUN_OF_REQUEST: Final = "SELECT * FROM runs WHERE request = :request ORDER BY number DESC LIMIT 1"
NEWEST_RUN_IF_LEFT: Final = """
SELECT * FROM runs WHERE outcome IN ('running', 'stopped', 'interrupted', 'failed') AND number = (
    SELECT max(number) FROM runs
    WHERE server = :server AND EXISTS (SELECT * FROM writes WHERE writes.run = runs.number)
)
"""
"""The newest run on a server that had something to write, unless it wrote all of it."""

WRITES: Final = "SELECT * FROM writes WHERE run = :run ORDER BY position"
STEPS: Final = "SELECT step, count(*) AS number FROM writes WHERE run = :run GROUP BY step"
STEPS_BY_REALM: Final = "SELECT realm, step FROM writes WHERE run = :run"
HISTORY: Final = "SELECT * FROM writes WHERE server = :server AND realm = :realm ORDER BY run DESC"

_LAST_OF_EACH: Final = """
sure AS (
    SELECT realm, (
        SELECT max(w.run) FROM writes AS w
        WHERE w.server = :server AND w.realm = realms.realm AND w.step IN ('verified', 'accepted')
    ) AS done
    FROM realms WHERE realm IS NOT NULL
),
latest AS (
    SELECT realm, done, (
        SELECT max(w.run) FROM writes AS w
        WHERE w.server = :server AND w.realm = sure.realm AND w.step IN ('writing', 'written')
        AND w.run > coalesce(done, 0)
    ) AS doubt, (
        SELECT max(w.run) FROM writes AS w
        WHERE w.server = :server AND w.realm = sure.realm AND w.step = 'failed' AND w.error LIKE :not_kept
        AND w.run > coalesce(done, 0)
    ) AS unkept
    FROM sure
),
chosen AS (
    SELECT realm, done AS run FROM latest
    UNION ALL SELECT realm, doubt FROM latest
    UNION ALL SELECT realm, unkept FROM latest
)
SELECT w.* FROM chosen JOIN writes AS w ON w.run = chosen.run AND w.realm = chosen.realm
"""
_EVERY_REALM: Final = """
WITH RECURSIVE realms(realm) AS (
    SELECT min(realm) FROM writes WHERE server = :server
    UNION ALL
    SELECT (SELECT min(w.realm) FROM writes AS w WHERE w.server = :server AND w.realm > realms.realm)
    FROM realms WHERE realms.realm IS NOT NULL
),
"""
LAST_KNOWN: Final = f"{_EVERY_REALM}{_LAST_OF_EACH}"
"""Each realm's last completed write, and its newest writes after that with unknown outcome and not preserved.

Each realm costs one step in the index, however often it was written. One run for each row of ``chosen``: with
``run IN (done, doubt, unkept)`` PostgreSQL reads the whole index of the primary key once for each realm.
"""

MOST_NAMED: Final = 500
"""How many realms :func:`last_known_of` asks for at once."""


def last_known_of(number: int) -> str:
    """Return :data:`LAST_KNOWN` for so many realms: ``:realm_0``, ``:realm_1`` and so on."""
    names = ", ".join(f"(:realm_{n})" for n in range(number))
    return f"WITH realms(realm) AS (VALUES {names}),{_LAST_OF_EACH}"


IN_DOUBT: Final = """
SELECT w.* FROM writes AS w WHERE w.server = :server AND w.step IN ('writing', 'written')
AND NOT EXISTS (
    SELECT * FROM writes AS later WHERE later.server = :server AND later.realm = w.realm AND later.run > w.run
    AND later.step IN ('writing', 'written', 'verified', 'accepted')
) ORDER BY w.realm
"""
"""The writes with unknown outcome of :data:`LAST_KNOWN`, without a look at any other realm."""

SECRET_TIMES: Final = """
SELECT realm, fingerprints, min(coalesce(ended, started)) AS since, max(run) AS newest FROM writes
WHERE server = :server AND step IN ('verified', 'accepted') GROUP BY realm, fingerprints ORDER BY newest
"""
"""When each realm's secrets were first written; its present ones last. Reads the whole history of a server."""

UNKEPT: Final = f"{NOT_KEPT}%"
"""The value of ``:not_kept``."""


# Requests

KNOW_SERVER: Final = """
INSERT INTO journal_servers (server, name, queue) VALUES (:server, :name, :queue)
ON CONFLICT (server) DO UPDATE SET name = excluded.name, queue = excluded.queue
"""
"""Stores a server and locks its row to the end of the transaction."""

LOCK_SERVER: Final = "UPDATE journal_servers SET name = name WHERE server = :server"
"""Locks the row of a server to the end of the transaction: a request that is being added is then seen or not there."""

NEW_REQUEST: Final = """
INSERT INTO journal_requests (server, name, queue, kind, content, digest, request_key, priority, who, message,
    tool_version, state, attempts, is_cancelled, summary, report, report_text, mails, submitted, due)
VALUES (:server, :name, :queue, :kind, :content, :digest, :request_key, :priority, :who, :message,
    :tool_version, 'waiting', 0, 0, '', '', '', '', :now,
    coalesce((SELECT expires FROM leases WHERE server = :pause AND expires > :now AND expires <= :never), :now))
RETURNING number
"""
"""It is due at once, or at the end of a pause of its server: see :data:`ANY_TO_TAKE`."""

SAME_REQUEST: Final = """
SELECT * FROM journal_requests WHERE digest = :digest AND state IN ('waiting', 'running')
    AND :request_key IN ('', request_key) AND (is_cancelled = 0 OR :request_key = request_key)
UNION ALL SELECT * FROM journal_requests WHERE server = :server AND request_key = :request_key AND request_key <> ''
"""
REQUEST: Final = "SELECT * FROM journal_requests WHERE number = :number"
_LISTED: Final = """
SELECT number, server, name, queue, kind, '' AS content, digest, request_key, priority, who, message, tool_version,
    state, attempts, is_cancelled, exit_status, summary, '' AS report,
    '' AS report_text, '' AS mails, submitted, due, started, ended
FROM journal_requests
"""
NEWEST_REQUESTS: Final = f"{_LISTED} ORDER BY number DESC LIMIT :limit"
BRIEF_REQUEST: Final = f"{_LISTED} WHERE number = :number"
_OF_SERVER: Final = "(:server = '' OR server = :server)"
UNFINISHED_REQUESTS: Final = f"""
{_LISTED} WHERE state IN ('waiting', 'running') AND {_OF_SERVER} ORDER BY +number LIMIT :limit
"""
"""The plus sign sorts those few requests, instead of a search through all in the order of their numbers."""

ENDED_REQUESTS: Final = f"""
{_LISTED} WHERE state NOT IN ('waiting', 'running') AND {_OF_SERVER} ORDER BY number DESC LIMIT :limit
"""
COUNTS_BY_STATE: Final = """
SELECT state, count(*) AS number FROM journal_requests WHERE (:server = '' OR server = :server) GROUP BY state
"""
REQUESTS_TO_TAKE: Final = """
SELECT number, server, name, queue, kind, CASE WHEN length(content) <= :most THEN content ELSE '' END AS content,
    digest, request_key, priority, who, message, tool_version, state, attempts, is_cancelled, exit_status, summary,
    '' AS report, '' AS report_text, '' AS mails, submitted, due, started, ended
FROM journal_requests
WHERE server = :server AND state IN ('waiting', 'running') AND (state = 'running' OR due <= :now OR due > :never)
ORDER BY CASE state WHEN 'running' THEN 0 ELSE 1 END, priority DESC, number LIMIT :limit
"""
"""The requests that a drain takes next, without contents longer than ``:most`` characters.

A running request is one whose worker was killed: only one drain works on a server. No request waits until after
``:never``: the clock was set back.
"""

ANY_TO_TAKE: Final = """
SELECT 1 FROM journal_requests
WHERE server = :server AND state IN ('waiting', 'running') AND (state = 'running' OR due <= :now OR due > :never)
    AND NOT EXISTS (SELECT 1 FROM leases WHERE server = :pause AND expires > :now AND expires <= :never)
LIMIT 1
"""
"""``:pause`` is the name of a lease that no worker holds: until it expires, none may log in to the server."""

TAKE_REQUEST: Final = """
UPDATE journal_requests SET state = 'running', attempts = attempts + 1, summary = '', started = :now,
    ended = NULL
WHERE number = :number AND attempts = :attempts AND state IN ('waiting', 'running')
"""
RUNNING_REQUESTS: Final = """
SELECT * FROM journal_requests WHERE server = :server AND state IN ('waiting', 'running') AND state = 'running'
"""
END_OF_REQUEST: Final = """
UPDATE journal_requests SET state = :state, exit_status = :exit_status, summary = :summary, report = :report,
    report_text = :report_text, ended = :now
WHERE number = :number AND attempts = :attempts AND started = :started AND state = 'running'
"""
"""Stores how a request ended, unless another drain has taken it since. A retry counts the attempts anew."""

END_OF_DAMAGED: Final = """
UPDATE journal_requests SET state = 'failed', exit_status = NULL, summary = :summary, report = '', report_text = '',
    priority = :priority, attempts = 0, is_cancelled = 0, submitted = :submitted, due = :now, started = NULL,
    ended = :now
WHERE number = :number AND state IN ('waiting', 'running')
"""
"""Ends a request whose row cannot be read, and writes anew what a worker reads of it except what it asks for."""

REQUEST_AGAIN: Final = """
UPDATE journal_requests SET due = :due, attempts = attempts - 1,
    summary = CASE is_cancelled WHEN 0 THEN :summary ELSE 'cancelled (' || :summary || ')' END,
    state = CASE is_cancelled WHEN 0 THEN 'waiting' ELSE 'cancelled' END,
    ended = CASE is_cancelled WHEN 0 THEN ended ELSE :now END
WHERE number = :number AND attempts = :attempts AND started = :started AND state = 'running'
"""
"""Lets a request wait again; one that was cancelled while it ran is then cancelled."""

MAILS_OF_REQUEST: Final = """
UPDATE journal_requests SET mails = :mails
WHERE number = :number AND attempts = :attempts AND started = :started AND state = 'running'
"""
"""Records the test mails of a request, unless another drain has taken it since."""

HOLD_BACK: Final = """
UPDATE journal_requests SET due = :due
WHERE server = :server AND state IN ('waiting', 'running') AND state = 'waiting' AND due < :due
"""
CANCEL_REQUEST: Final = """
UPDATE journal_requests SET is_cancelled = 1,
    state = CASE state WHEN 'waiting' THEN 'cancelled' ELSE state END,
    ended = CASE state WHEN 'waiting' THEN :now ELSE ended END
WHERE number = :number AND state IN ('waiting', 'running')
"""
RETRY_REQUEST: Final = """
UPDATE journal_requests SET state = 'waiting', attempts = 0, is_cancelled = 0, submitted = :now,
    due = coalesce((SELECT expires FROM leases WHERE server = :pause AND expires > :now AND expires <= :never), :now),
    exit_status = NULL, summary = '', report = '', report_text = '', started = NULL, ended = NULL,
    mails = replace(mails, ':"failed"', ':"due"'),
    queue = coalesce((SELECT s.queue FROM journal_servers AS s WHERE s.server = journal_requests.server), queue)
WHERE number = :number AND state IN ('failed', 'dead', 'cancelled')
"""
"""It counts as submitted again, so that it has its time to wait for its server and its realms once more.

Test mails that failed are sent once more. In JSON, a quotation mark in a realm's name has a backslash before it.
"""

CANCELLED_AMONG: Final = "SELECT number FROM journal_requests WHERE state = 'running' AND is_cancelled = 1"
SERVERS_WITH_WORK: Final = """
SELECT s.server, s.name, s.queue, max(r.priority) AS priority FROM journal_servers AS s
JOIN journal_requests AS r ON r.server = s.server
WHERE r.state IN ('waiting', 'running') AND (r.state = 'running' OR r.due <= :now OR r.due > :never)
    AND NOT EXISTS (
        SELECT 1 FROM leases AS l WHERE l.server = 'logins of ' || s.server AND l.expires > :now AND l.expires <= :never
    )
    AND NOT EXISTS ({without})
GROUP BY s.server, s.name, s.queue ORDER BY priority DESC, s.server
"""
"""``{without}`` is a query about ``s.server``: servers for which it finds a row are left out."""

NOTHING: Final = "SELECT 1 WHERE 1 = 0"
AHEAD: Final = """
SELECT count(*) AS number FROM journal_requests
WHERE server = :server AND state IN ('waiting', 'running')
AND (priority > :priority OR priority = :priority AND number < :number)
"""
REQUEST_COUNTS: Final = """
SELECT queue, state, count(*) AS number, min(submitted) AS oldest FROM journal_requests
WHERE state IN ('waiting', 'running') GROUP BY queue, state
UNION ALL
SELECT queue, state, count(*) AS number, min(submitted) AS oldest FROM journal_requests
WHERE ended >= :since AND ended IS NOT NULL AND state NOT IN ('waiting', 'running') GROUP BY queue, state
"""
"""Those that have not ended, and those that ended since a time: the others cost nothing, however many are kept."""

QUEUES: Final = "SELECT DISTINCT queue FROM journal_servers"
PRUNE_REQUESTS: Final = """
DELETE FROM journal_requests WHERE ended < :before AND state IN ('done', 'failed', 'dead', 'cancelled')
"""


# Leases

TAKE_LEASE: Final = """
INSERT INTO leases (server, holder, who, since, expires) VALUES (:server, :holder, :who, :now, :expires)
ON CONFLICT (server) DO UPDATE
SET holder = excluded.holder, who = excluded.who, since = excluded.since, expires = excluded.expires, run = NULL
WHERE leases.expires <= excluded.since OR leases.expires > :never
"""
"""Inserts a lease, or replaces one that has expired, or that ends too late because a clock was set back."""

LEASE: Final = "SELECT * FROM leases WHERE server = :server"
RENEW_LEASE: Final = """
UPDATE leases SET expires = :expires, run = coalesce(:run, run) WHERE server = :server AND holder = :holder
"""
DELETE_LEASE: Final = "DELETE FROM leases WHERE server = :server AND holder = :holder"


# Pruning

FORGET: Final = "DELETE FROM writes WHERE server = :server AND realm = :realm"
NEWEST_THAT_WROTE: Final = "SELECT max(run) AS number FROM writes WHERE server = :server"
NTH_NEWEST_RUN: Final = "SELECT number FROM runs WHERE server = :server ORDER BY number DESC LIMIT 1 OFFSET :newer"
NEWEST_RUN_BEFORE: Final = "SELECT max(number) AS number FROM runs WHERE server = :server AND started < :time"
RUNS_BEFORE: Final = "SELECT count(*) AS number FROM runs WHERE server = :server AND number < :first"
PRUNE_WRITES: Final = """
DELETE FROM writes WHERE server = :server AND run < :first AND step NOT IN ('writing', 'written')
AND (step IN ('planned', 'skipped', 'failed') AND after IS NULL OR run < (
    SELECT later.run FROM writes AS later
    WHERE later.server = :server AND later.realm = writes.realm
    AND later.step IN ('verified', 'accepted') AND later.run < :first
    ORDER BY later.run DESC LIMIT 1 OFFSET 1
))
"""
"""Preserves two completed writes of each realm, however old: the last, and the one that a revert of it needs."""

PRUNE_RUNS: Final = """
DELETE FROM runs WHERE server = :server AND number < :first
AND NOT EXISTS (SELECT * FROM writes WHERE writes.run = runs.number)
"""
