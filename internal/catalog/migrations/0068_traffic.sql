-- +goose Up
-- How fast data may move over the network.
CREATE TABLE traffic_rules (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL, -- JSON of keepward.v1.TrafficRule
    created    INTEGER NOT NULL,
    changed    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What all tasks of a repository together may read and write, such as 100MB/s; empty: no bound.
ALTER TABLE repositories ADD COLUMN read_limit TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN write_limit TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE repositories DROP COLUMN write_limit;
ALTER TABLE repositories DROP COLUMN read_limit;
DROP TABLE traffic_rules;
