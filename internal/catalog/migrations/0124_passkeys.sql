-- +goose Up
-- What a user can log in with in a browser, beside the password.
CREATE TABLE passkeys (
    id         TEXT PRIMARY KEY,           -- what people name it by
    user_id    INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential BLOB NOT NULL UNIQUE,       -- the id that its maker gave it
    name       TEXT NOT NULL,
    record     TEXT NOT NULL,              -- JSON: public key, counter, flags
    created    INTEGER NOT NULL,
    used       INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX passkeys_of_user ON passkeys (user_id, created);

-- +goose Down
DROP TABLE passkeys;
