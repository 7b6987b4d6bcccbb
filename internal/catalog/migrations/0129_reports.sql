-- +goose Up
-- Who gets a report on the site, and when.
CREATE TABLE reports (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL,   -- JSON of keepward.v1.Report
    sent       INTEGER NOT NULL -- up to when reports were sent, or when it was saved last; nanoseconds
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE reports;
