-- +goose Up
-- What is asked of many restore points is found by an index that answers it: the newest point of each
-- computer, and those of a job.
DROP INDEX points_by_computer;
CREATE INDEX points_by_computer ON points (computer, time, partial, deleted);
CREATE INDEX points_by_job ON points (job, time);

-- +goose Down
DROP INDEX points_by_job;
DROP INDEX points_by_computer;
CREATE INDEX points_by_computer ON points (computer, time);
