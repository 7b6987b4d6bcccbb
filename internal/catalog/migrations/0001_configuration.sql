-- +goose Up
-- Times are nanoseconds since 1970 UTC; 0 means never.

CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per start of a server on this database. Orders carry the newest term.
CREATE TABLE terms (
    term    INTEGER PRIMARY KEY AUTOINCREMENT,
    started INTEGER NOT NULL,
    version TEXT NOT NULL
) STRICT;

CREATE TABLE users (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    role     TEXT NOT NULL,
    password TEXT NOT NULL, -- argon2id, with its parameters and salt
    created  INTEGER NOT NULL
) STRICT;

CREATE TABLE api_tokens (
    hash    BLOB PRIMARY KEY, -- SHA-256 of the token
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label   TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL -- 0: never
) STRICT, WITHOUT ROWID;

CREATE TABLE join_tokens (
    id      TEXT PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE, -- SHA-256 of the secret
    role    TEXT NOT NULL,
    name    TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used    INTEGER NOT NULL DEFAULT 0,
    revoked INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Every certificate the authority gave out. A node is let in by a row here that is not
-- revoked, and by nothing else.
CREATE TABLE certificates (
    serial  TEXT PRIMARY KEY, -- decimal
    role    TEXT NOT NULL,
    name    TEXT NOT NULL,
    der     BLOB NOT NULL,
    issued  INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    revoked INTEGER NOT NULL DEFAULT 0,
    reason  TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX certificates_by_name ON certificates (role, name);

CREATE TABLE computers (
    name      TEXT PRIMARY KEY,
    os        TEXT NOT NULL DEFAULT '',
    arch      TEXT NOT NULL DEFAULT '',
    hostname  TEXT NOT NULL DEFAULT '',
    version   TEXT NOT NULL DEFAULT '',
    address   TEXT NOT NULL DEFAULT '',
    joined    INTEGER NOT NULL,
    last_seen INTEGER NOT NULL DEFAULT 0,
    skew      INTEGER NOT NULL DEFAULT 0 -- agent clock minus server clock, nanoseconds
) STRICT, WITHOUT ROWID;

CREATE TABLE transports (
    name         TEXT PRIMARY KEY,
    hostname     TEXT NOT NULL DEFAULT '',
    version      TEXT NOT NULL DEFAULT '',
    address      TEXT NOT NULL DEFAULT '',
    data_address TEXT NOT NULL DEFAULT '',
    joined       INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE TABLE repositories (
    name          TEXT PRIMARY KEY,
    repository_id BLOB NOT NULL UNIQUE,
    transport     TEXT NOT NULL REFERENCES transports (name),
    path          TEXT NOT NULL, -- canonical, as the transport sees it
    streams       INTEGER NOT NULL,
    writers       INTEGER NOT NULL,
    master        BLOB NOT NULL, -- sealed under the server's key file
    recovery      BLOB NOT NULL, -- recovery secret, sealed likewise
    exported      INTEGER NOT NULL DEFAULT 0, -- when the recovery key was last handed out
    created       INTEGER NOT NULL,
    looked        INTEGER NOT NULL DEFAULT 0, -- when the figures below were taken
    size_bytes    INTEGER NOT NULL DEFAULT 0,
    free_bytes    INTEGER NOT NULL DEFAULT 0,
    packs         INTEGER NOT NULL DEFAULT 0,
    chunks        INTEGER NOT NULL DEFAULT 0,
    points        INTEGER NOT NULL DEFAULT 0,
    UNIQUE (transport, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    name       TEXT PRIMARY KEY,
    repository TEXT NOT NULL REFERENCES repositories (name),
    disabled   INTEGER NOT NULL,
    schedule   TEXT NOT NULL,
    definition TEXT NOT NULL, -- the whole job as JSON of keepward.v1.Job
    created    INTEGER NOT NULL,
    changed    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job_computers (
    job      TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
    computer TEXT NOT NULL REFERENCES computers (name),
    PRIMARY KEY (job, computer)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_computers_by_computer ON job_computers (computer);

-- +goose Down
DROP TABLE job_computers;
DROP TABLE jobs;
DROP TABLE repositories;
DROP TABLE transports;
DROP TABLE computers;
DROP TABLE certificates;
DROP TABLE join_tokens;
DROP TABLE api_tokens;
DROP TABLE users;
DROP TABLE terms;
DROP TABLE settings;
