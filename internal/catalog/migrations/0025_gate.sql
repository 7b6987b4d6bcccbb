-- +goose Up
-- When sessions may run.
CREATE TABLE windows (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL, -- JSON of keepward.v1.Window
    created    INTEGER NOT NULL,
    changed    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Activities that are switched off. A level is server, computer/NAME or group/NAME.
CREATE TABLE disabled_activities (
    level    TEXT NOT NULL,
    activity TEXT NOT NULL,
    until    INTEGER NOT NULL, -- 0: until somebody switches it on
    since    INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    PRIMARY KEY (level, activity)
) STRICT, WITHOUT ROWID;

-- How many sessions may run at once. A level may be repository/NAME too.
CREATE TABLE session_limits (
    level    TEXT PRIMARY KEY,
    sessions INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE tasks ADD COLUMN start_at INTEGER NOT NULL DEFAULT 0; -- before it, it stays Queued; 0: at once

-- +goose Down
ALTER TABLE tasks DROP COLUMN start_at;
DROP TABLE session_limits;
DROP TABLE disabled_activities;
DROP TABLE windows;
