-- +goose Up
-- The protection groups to whose computers a user or a token is limited, a name a line; empty: all.
-- A group that is gone has no members, so who is limited to it sees nothing.
ALTER TABLE users ADD COLUMN limited_to TEXT NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN limited_to TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE api_tokens DROP COLUMN limited_to;
ALTER TABLE users DROP COLUMN limited_to;
