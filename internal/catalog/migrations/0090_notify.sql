-- +goose Up
-- Where messages go.
CREATE TABLE notify_targets (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL, -- JSON of keepward.v1.NotifyTarget
    secret     BLOB NOT NULL  -- sealed by the server's key, bound to the name; empty: there is none
) STRICT, WITHOUT ROWID;

CREATE TABLE notify_rules (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL  -- JSON of keepward.v1.NotifyRule
) STRICT, WITHOUT ROWID;

-- Sessions that are over and of which nobody has been told. The row is written in the transaction
-- that ends the session, so that no end is lost or told twice.
CREATE TABLE notify_ended (
    session INTEGER PRIMARY KEY
) STRICT;
-- +goose StatementBegin
CREATE TRIGGER notify_session_ended AFTER UPDATE OF ended ON sessions WHEN OLD.ended = 0 AND NEW.ended <> 0
BEGIN INSERT OR IGNORE INTO notify_ended (session) VALUES (NEW.id); END;
-- +goose StatementEnd
-- A session whose retry was called off is looked at again: it was the last after all.
-- +goose StatementBegin
CREATE TRIGGER notify_retry_over AFTER UPDATE OF retry_at ON sessions WHEN OLD.retry_at <> 0 AND NEW.retry_at = 0
BEGIN INSERT OR IGNORE INTO notify_ended (session) VALUES (NEW.id); END;
-- +goose StatementEnd

-- Messages on their way, and for some days those that have arrived.
CREATE TABLE notify_outbox (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    event     TEXT NOT NULL,
    target    TEXT NOT NULL REFERENCES notify_targets (name) ON DELETE CASCADE,
    kind      TEXT NOT NULL,
    subject   TEXT NOT NULL,
    message   BLOB NOT NULL,              -- JSON of notify.Message; emptied once it is not needed
    status    TEXT NOT NULL,              -- waiting, delivered, given up
    tries     INTEGER NOT NULL DEFAULT 0,
    problem   TEXT NOT NULL DEFAULT '',
    created   INTEGER NOT NULL,
    next      INTEGER NOT NULL,           -- try
    delivered INTEGER NOT NULL DEFAULT 0, -- or given up
    UNIQUE (event, target)
) STRICT;
CREATE INDEX notify_outbox_by_status ON notify_outbox (target, status, delivered);
CREATE INDEX notify_outbox_waiting ON notify_outbox (target, next) WHERE status = 'waiting';

-- +goose Down
DROP TABLE notify_outbox;
DROP TRIGGER notify_retry_over;
DROP TRIGGER notify_session_ended;
DROP TABLE notify_ended;
DROP TABLE notify_rules;
DROP TABLE notify_targets;
