-- +goose Up
ALTER TABLE repositories ADD COLUMN recompress TEXT NOT NULL DEFAULT ''; -- '': the default
ALTER TABLE repositories ADD COLUMN segments INTEGER NOT NULL DEFAULT 0; -- of the index, as counted at looked
CREATE INDEX sessions_by_repository ON sessions (repository, id); -- what has been going on in it is asked every minute

-- +goose Down
DROP INDEX sessions_by_repository;
ALTER TABLE repositories DROP COLUMN segments;
ALTER TABLE repositories DROP COLUMN recompress;
