-- +goose Up
-- Who called what, as a chain; see docs/formats/audit.md. Rows are only added, by no more than
-- AppendAudit. Texts that strangers choose are blobs: they may hold anything, zeros among it.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    time     INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    ends     INTEGER NOT NULL, -- the row whose call this ends; 0: none
    user     BLOB NOT NULL,
    token    TEXT NOT NULL,
    role     TEXT NOT NULL,
    address  TEXT NOT NULL,
    call     TEXT NOT NULL,
    named    BLOB NOT NULL,
    outcome  TEXT NOT NULL,
    times    INTEGER NOT NULL,
    previous BLOB NOT NULL, -- hash of the row before
    hash     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX audit_by_end ON audit (ends) WHERE ends <> 0;
CREATE INDEX audit_by_user ON audit (user);

-- +goose Down
DROP TABLE audit;
