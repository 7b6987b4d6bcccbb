-- +goose Up
-- role: what the token is for at most; empty: all that its user may. kind: login, token, or file for
-- that of the client file. used: the last time, to the hour.
ALTER TABLE api_tokens ADD COLUMN role TEXT NOT NULL DEFAULT '';
ALTER TABLE api_tokens ADD COLUMN kind TEXT NOT NULL DEFAULT 'login';
ALTER TABLE api_tokens ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_tokens ADD COLUMN address TEXT NOT NULL DEFAULT '';
UPDATE api_tokens SET kind = 'file' WHERE label = 'client.yaml';

-- +goose Down
ALTER TABLE api_tokens DROP COLUMN address;
ALTER TABLE api_tokens DROP COLUMN used;
ALTER TABLE api_tokens DROP COLUMN kind;
ALTER TABLE api_tokens DROP COLUMN role;
