-- +goose Up
-- Who at a provider of single sign-on logs in as which user.
CREATE TABLE sign_ons (
    id      TEXT PRIMARY KEY,           -- what people name it by
    issuer  TEXT NOT NULL,
    subject TEXT NOT NULL,              -- what the provider calls somebody, for ever
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label   TEXT NOT NULL,              -- what people call that person there
    created INTEGER NOT NULL,
    used    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (issuer, subject)
) STRICT;
CREATE INDEX sign_ons_of_user ON sign_ons (user_id, created);

-- +goose Down
DROP TABLE sign_ons;
