-- +goose Up
-- What is asked of many restore points is found by an index that answers it: the newest point of each
-- computer, and those of a job.
DROP INDEX points_by_computer;
CREATE INDEX points_by_computer ON points (computer, time, partial, deleted);
CREATE INDEX points_by_job ON points (job, time);

-- What a text is looked for in, of each session.
CREATE INDEX tasks_of_session ON tasks (session, computer);
CREATE INDEX tasks_in_trouble ON tasks (session) WHERE reason_json <> '' OR failure_json <> '';
CREATE INDEX events_of_trouble ON events (session) WHERE level <> 'info';

-- +goose Down
DROP INDEX events_of_trouble;
DROP INDEX tasks_in_trouble;
DROP INDEX tasks_of_session;
DROP INDEX points_by_job;
DROP INDEX points_by_computer;
CREATE INDEX points_by_computer ON points (computer, time);
