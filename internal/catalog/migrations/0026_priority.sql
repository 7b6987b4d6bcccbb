-- +goose Up
-- Digits of priorities that administrators have set. A level is type/TYPE, computer/NAME or agent/NAME.
CREATE TABLE priority_digits (
    level TEXT PRIMARY KEY,
    digit INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE tasks ADD COLUMN priority INTEGER NOT NULL DEFAULT 0; -- of its session, the first of these
UPDATE tasks SET priority = (SELECT priority FROM sessions WHERE sessions.id = tasks.session);

-- +goose Down
ALTER TABLE tasks DROP COLUMN priority;
DROP TABLE priority_digits;
