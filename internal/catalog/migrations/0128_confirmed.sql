-- +goose Up
-- When the user of a login has shown the password last. Logins of before are asked for it.
ALTER TABLE api_tokens ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE api_tokens DROP COLUMN confirmed;
