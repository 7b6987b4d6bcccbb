-- +goose Up
ALTER TABLE tasks ADD COLUMN suspended_by TEXT NOT NULL DEFAULT '';      -- who wants it to pause
ALTER TABLE tasks ADD COLUMN interruptions INTEGER NOT NULL DEFAULT 0;   -- attempts that ended by an interruption or a pause
ALTER TABLE tasks ADD COLUMN preemptions INTEGER NOT NULL DEFAULT 0;     -- interruptions in a row for other sessions
ALTER TABLE tasks ADD COLUMN interrupted_for INTEGER NOT NULL DEFAULT 0; -- the session that needs what it holds

-- +goose Down
ALTER TABLE tasks DROP COLUMN interrupted_for;
ALTER TABLE tasks DROP COLUMN preemptions;
ALTER TABLE tasks DROP COLUMN interruptions;
ALTER TABLE tasks DROP COLUMN suspended_by;
