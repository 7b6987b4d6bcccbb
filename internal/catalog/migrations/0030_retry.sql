-- +goose Up
ALTER TABLE sessions ADD COLUMN origin INTEGER NOT NULL DEFAULT 0;   -- the session whose failed tasks it tries again
ALTER TABLE sessions ADD COLUMN retry INTEGER NOT NULL DEFAULT 0;    -- the how manieth retry of the first one
ALTER TABLE sessions ADD COLUMN retry_at INTEGER NOT NULL DEFAULT 0; -- when its failed tasks are tried again; 0: they are not
CREATE INDEX sessions_retry ON sessions (retry_at) WHERE retry_at <> 0;
ALTER TABLE tasks ADD COLUMN kill_commits INTEGER NOT NULL DEFAULT 0; -- it is being ended, and what is written shall be kept

-- +goose Down
ALTER TABLE tasks DROP COLUMN kill_commits;
DROP INDEX sessions_retry;
ALTER TABLE sessions DROP COLUMN retry_at;
ALTER TABLE sessions DROP COLUMN retry;
ALTER TABLE sessions DROP COLUMN origin;
