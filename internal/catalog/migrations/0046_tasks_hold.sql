-- +goose Up
-- Whether a task holds its set: one that is leaving may have let go of it before.
ALTER TABLE tasks ADD COLUMN holds INTEGER NOT NULL DEFAULT 0;
UPDATE tasks SET holds = 1
	WHERE status IN ('Running', 'Running (cannot be verified)', 'Interrupt Pending', 'Suspend Pending', 'Kill Pending', 'Cleanup');

-- +goose Down
ALTER TABLE tasks DROP COLUMN holds;
