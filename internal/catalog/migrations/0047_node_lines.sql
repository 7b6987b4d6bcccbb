-- +goose Up
-- Only nodes report a line twice: the server's own lines, which are most, need not be found by time.
DROP INDEX events_by_time;
CREATE INDEX events_of_nodes ON events (session, time) WHERE part <> 'server';

-- +goose Down
DROP INDEX events_of_nodes;
CREATE INDEX events_by_time ON events (session, time);
