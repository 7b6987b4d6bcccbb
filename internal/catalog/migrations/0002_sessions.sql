-- +goose Up
-- Names of jobs, computers and repositories are kept as they were: what ran must stay readable
-- when the configuration has forgotten them. Columns that end in _json hold a message of
-- keepward.v1 as JSON.

CREATE TABLE sessions (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    job             TEXT NOT NULL, -- '': a session without a saved job
    type            TEXT NOT NULL,
    status          TEXT NOT NULL,
    phase           TEXT NOT NULL DEFAULT '',
    reason_json     TEXT NOT NULL DEFAULT '',
    failure_json    TEXT NOT NULL DEFAULT '',
    priority        INTEGER NOT NULL,
    repository      TEXT NOT NULL,
    is_full         INTEGER NOT NULL DEFAULT 0,
    started_by      TEXT NOT NULL,
    definition_json TEXT NOT NULL, -- what to do, as it was at submission: Job, RestoreFilesRequest, CheckRepositoryRequest
    created         INTEGER NOT NULL,
    started         INTEGER NOT NULL DEFAULT 0,
    ended           INTEGER NOT NULL DEFAULT 0, -- 0: not final
    last_seq        INTEGER NOT NULL DEFAULT 0  -- of its events
) STRICT;
CREATE INDEX sessions_active ON sessions (id) WHERE ended = 0;
CREATE INDEX sessions_by_job ON sessions (job, id);
CREATE INDEX sessions_by_end ON sessions (ended);

CREATE TABLE tasks (
    id            TEXT PRIMARY KEY, -- random, hex
    session       INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    computer      TEXT NOT NULL, -- '': none takes part
    repository    TEXT NOT NULL,
    status        TEXT NOT NULL,
    phase         TEXT NOT NULL DEFAULT '',
    attempts      INTEGER NOT NULL DEFAULT 0, -- opened so far
    reason_json   TEXT NOT NULL DEFAULT '',
    failure_json  TEXT NOT NULL DEFAULT '',
    progress_json TEXT NOT NULL DEFAULT '',
    point         TEXT NOT NULL DEFAULT '', -- made or read
    restart_at    INTEGER NOT NULL DEFAULT 0,
    restart_on    TEXT NOT NULL DEFAULT '', -- roles whose return ends the wait for restart_at
    errors        INTEGER NOT NULL DEFAULT 0, -- events of these levels
    warnings      INTEGER NOT NULL DEFAULT 0,
    killed_by     TEXT NOT NULL DEFAULT '',
    started       INTEGER NOT NULL DEFAULT 0,
    ended         INTEGER NOT NULL DEFAULT 0,
    UNIQUE (session, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX tasks_by_computer ON tasks (computer, session);

-- One try of a task; its id is also the name of the point that a backup makes. An attempt is
-- settled when it is known for good whether it committed.
CREATE TABLE attempts (
    id             TEXT PRIMARY KEY, -- random, hex
    task           TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number         INTEGER NOT NULL,
    transport      TEXT NOT NULL,
    agent          TEXT NOT NULL, -- '': none takes part
    time           INTEGER NOT NULL, -- of the point
    parent         TEXT NOT NULL DEFAULT '',
    checkpoint     TEXT NOT NULL DEFAULT '',
    mover_boot     TEXT NOT NULL DEFAULT '', -- of the node's process that took the order
    agent_boot     TEXT NOT NULL DEFAULT '',
    mover_ordered  INTEGER NOT NULL DEFAULT 0,
    agent_ordered  INTEGER NOT NULL DEFAULT 0,
    mover_end_json TEXT NOT NULL DEFAULT '',
    agent_end_json TEXT NOT NULL DEFAULT '',
    failure_json   TEXT NOT NULL DEFAULT '', -- why it is given up
    settled        TEXT NOT NULL DEFAULT '', -- '', committed, fenced, ended
    checkpointed   INTEGER NOT NULL DEFAULT 0, -- the next attempt may go on from its checkpoint
    UNIQUE (task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX attempts_unsettled ON attempts (transport) WHERE settled = '';

CREATE TABLE events (
    session     INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    seq         INTEGER NOT NULL,
    time        INTEGER NOT NULL,
    task        TEXT NOT NULL,
    level       TEXT NOT NULL,
    part        TEXT NOT NULL,
    code        TEXT NOT NULL,
    text        TEXT NOT NULL,
    path        BLOB,
    from_status TEXT NOT NULL DEFAULT '',
    to_status   TEXT NOT NULL DEFAULT '',
    actor       TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (session, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_by_time ON events (session, time); -- finds a line that is reported twice

CREATE TABLE points (
    id            TEXT PRIMARY KEY, -- the attempt that made it
    computer      TEXT NOT NULL,
    job           TEXT NOT NULL,
    session       INTEGER NOT NULL,
    repository    TEXT NOT NULL,
    time          INTEGER NOT NULL,
    parent        TEXT NOT NULL,
    is_full       INTEGER NOT NULL,
    partial       INTEGER NOT NULL,
    completeness  TEXT NOT NULL,
    counters_json TEXT NOT NULL,
    files_json    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX points_by_computer ON points (computer, time);
CREATE INDEX points_by_time ON points (time);

-- +goose Down
DROP TABLE points;
DROP TABLE events;
DROP TABLE attempts;
DROP TABLE tasks;
DROP TABLE sessions;
