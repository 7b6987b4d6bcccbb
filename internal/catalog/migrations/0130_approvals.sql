-- +goose Up
-- Calls that a second administrator must approve.
CREATE TABLE approvals (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id    INTEGER NOT NULL, -- who asked; may be gone
    user       TEXT NOT NULL,
    user_since INTEGER NOT NULL, -- when that user was made: numbers and names are given again
    call       TEXT NOT NULL,    -- procedure
    what       TEXT NOT NULL,    -- in words
    digest     BLOB NOT NULL,    -- of the call and its message
    message    BLOB NOT NULL,    -- sealed; empty: who asked makes the call again, or it is decided
    again      INTEGER NOT NULL,
    asked      INTEGER NOT NULL, -- nanoseconds
    expires    INTEGER NOT NULL,
    state      TEXT NOT NULL,    -- waiting, granted, done, failed, refused, withdrawn
    decided_by TEXT NOT NULL,
    decided    INTEGER NOT NULL,
    note       TEXT NOT NULL,
    error      TEXT NOT NULL
) STRICT;
CREATE INDEX approvals_state ON approvals (state, expires);

-- +goose Down
DROP TABLE approvals;
