-- +goose Up
-- How fast tasks moved data over their time; see internal/speed.
CREATE TABLE task_speed (
    task    TEXT PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    start   INTEGER NOT NULL, -- of the first slot
    every   INTEGER NOT NULL, -- how long one is, in nanoseconds
    slots   BLOB NOT NULL,
    -- The newest report: of which attempt, when, and what it had counted.
    attempt TEXT NOT NULL,
    last    INTEGER NOT NULL,
    read    INTEGER NOT NULL,
    sent    INTEGER NOT NULL,
    stored  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE task_speed;
