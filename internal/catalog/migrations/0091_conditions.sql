-- +goose Up
-- Lasting problems as they were when somebody was last told: what is missing here has come up since.
CREATE TABLE notify_conditions (
    code       TEXT NOT NULL,
    subject    TEXT NOT NULL,
    definition TEXT NOT NULL,              -- JSON of keepward.v1.Condition
    first      INTEGER NOT NULL,           -- when it was first seen
    told       INTEGER NOT NULL DEFAULT 0, -- 0: it may be over in a moment
    gone       INTEGER NOT NULL DEFAULT 0, -- since when it is not seen; 0: it is
    PRIMARY KEY (code, subject)
) STRICT, WITHOUT ROWID;

-- How full repositories were, one row a day.
CREATE TABLE repository_days (
    repository TEXT NOT NULL REFERENCES repositories (name) ON DELETE CASCADE,
    day        INTEGER NOT NULL, -- since 1970 UTC
    size_bytes INTEGER NOT NULL,
    free_bytes INTEGER NOT NULL,
    PRIMARY KEY (repository, day)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE repository_days;
DROP TABLE notify_conditions;
