-- +goose Up
-- Markers of points stand in the repository, which has the last word; this is the server's copy.
ALTER TABLE points ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN deleted_because TEXT NOT NULL DEFAULT '';
ALTER TABLE points ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE points ADD COLUMN hold_reason TEXT NOT NULL DEFAULT '';
-- The session whose mover was told to purge the point; 0: none. Such a point cannot be undeleted.
ALTER TABLE points ADD COLUMN purged_by INTEGER NOT NULL DEFAULT 0;
CREATE INDEX points_by_repository ON points (repository, time);

ALTER TABLE repositories ADD COLUMN undelete_grace INTEGER NOT NULL DEFAULT 0; -- nanoseconds; 0: the default, negative: none
ALTER TABLE repositories ADD COLUMN unprotected_after INTEGER NOT NULL DEFAULT 0; -- nanoseconds; 0: never
ALTER TABLE repositories ADD COLUMN maintenance TEXT NOT NULL DEFAULT ''; -- a schedule, or never; '': the default

ALTER TABLE tasks ADD COLUMN report_json TEXT NOT NULL DEFAULT '';

-- Computers with points that no job makes any more, and since when that is known.
CREATE TABLE unprotected (
    computer TEXT NOT NULL,
    job      TEXT NOT NULL,
    since    INTEGER NOT NULL,
    PRIMARY KEY (computer, job)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE unprotected;
ALTER TABLE tasks DROP COLUMN report_json;
ALTER TABLE repositories DROP COLUMN maintenance;
ALTER TABLE repositories DROP COLUMN unprotected_after;
ALTER TABLE repositories DROP COLUMN undelete_grace;
DROP INDEX points_by_repository;
ALTER TABLE points DROP COLUMN purged_by;
ALTER TABLE points DROP COLUMN hold_reason;
ALTER TABLE points DROP COLUMN held;
ALTER TABLE points DROP COLUMN deleted_because;
ALTER TABLE points DROP COLUMN deleted;
