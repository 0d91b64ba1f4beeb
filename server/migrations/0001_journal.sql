-- The journal: append-only, hash-chained. `server/src/journal/chain.rs` says what the hash covers.
CREATE TABLE records (
    seq     INTEGER PRIMARY KEY,
    at      TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    job     TEXT,
    task    TEXT,
    attempt TEXT,
    host    TEXT,
    plan    TEXT,
    body    TEXT    NOT NULL,
    hash    BLOB    NOT NULL
) STRICT;

-- Each index ends in the row's seq, so a filtered list comes out in order without a sort.
CREATE INDEX records_kind    ON records (kind);
CREATE INDEX records_job     ON records (job)     WHERE job     IS NOT NULL;
CREATE INDEX records_task    ON records (task)    WHERE task    IS NOT NULL;
CREATE INDEX records_attempt ON records (attempt) WHERE attempt IS NOT NULL;
CREATE INDEX records_host    ON records (host)    WHERE host    IS NOT NULL;
CREATE INDEX records_plan    ON records (plan)    WHERE plan    IS NOT NULL;

-- The chain finds a change after the fact; these keep our own code from making one.
CREATE TRIGGER records_are_not_changed BEFORE UPDATE ON records
BEGIN
    SELECT RAISE(ABORT, 'records of the journal are never changed');
END;
CREATE TRIGGER records_are_not_removed BEFORE DELETE ON records
BEGIN
    SELECT RAISE(ABORT, 'records of the journal are never removed');
END;

-- The fleet as of a record, for a fast start. `chain` is the hash of that record, `checksum` covers the whole row.
CREATE TABLE snapshots (
    seq      INTEGER PRIMARY KEY,
    chain    BLOB NOT NULL,
    checksum BLOB NOT NULL,
    fleet    BLOB NOT NULL
) STRICT;

-- Tasks that ended and left the fleet. Times are microseconds since 1970.
CREATE TABLE finished_tasks (
    place       INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    job         TEXT    NOT NULL,
    outcome     TEXT,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    body        TEXT    NOT NULL,
    UNIQUE (id, created_at)
) STRICT;

CREATE INDEX finished_tasks_time ON finished_tasks (finished_at, place);
CREATE INDEX finished_tasks_job  ON finished_tasks (job, finished_at, place);
