-- +goose Up
-- What the page of a session asks of a log of any length: the files that had errors by their path, and
-- the changes of status.
CREATE INDEX events_of_files ON events (session, path, task) WHERE path IS NOT NULL AND level <> 'info';
CREATE INDEX events_of_status ON events (session) WHERE to_status <> '';

-- +goose Down
DROP INDEX events_of_status;
DROP INDEX events_of_files;
