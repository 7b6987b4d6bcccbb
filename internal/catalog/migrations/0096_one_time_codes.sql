-- +goose Up
-- One-time codes of users. confirmed 0: the user has not shown yet that an app makes them, and they
-- are not asked for. step: that of the last code that was used; it and those before count no more.
CREATE TABLE one_time_codes (
    user_id   INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret    BLOB NOT NULL, -- sealed with the server's key
    created   INTEGER NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0,
    step      INTEGER NOT NULL DEFAULT 0
) STRICT;

-- What lets in without the app, each once: then the row goes.
CREATE TABLE recovery_codes (
    user_id INTEGER NOT NULL REFERENCES one_time_codes (user_id) ON DELETE CASCADE,
    hash    BLOB NOT NULL, -- SHA-256 of the code
    PRIMARY KEY (user_id, hash)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE recovery_codes;
DROP TABLE one_time_codes;
