-- +goose Up
ALTER TABLE repositories ADD COLUMN parity INTEGER NOT NULL DEFAULT 0; -- percent of each pack; 0: none

-- +goose Down
ALTER TABLE repositories DROP COLUMN parity;
