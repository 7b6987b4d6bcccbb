-- +goose Up
-- How a computer is reached, where that is not as usual: its agent dials both.
CREATE TABLE computer_connections (
    computer  TEXT PRIMARY KEY REFERENCES computers (name) ON DELETE CASCADE,
    control   TEXT NOT NULL, -- who dials the link: agent, server
    data      TEXT NOT NULL, -- who dials the data connection: agent, mover
    addresses TEXT NOT NULL  -- host:port where its agent waits, separated by spaces
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE computer_connections;
