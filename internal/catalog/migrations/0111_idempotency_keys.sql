-- +goose Up
-- Calls that were made with an Idempotency-Key, for a day: the same call again is answered from here and
-- does nothing. state: running (or the server ended before it was over), done, told (done, and the
-- answer is not kept). digest: keyed, of the call and its message. answer: sealed with the server's key.
CREATE TABLE idempotency_keys (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key     TEXT NOT NULL,
    call    TEXT NOT NULL,
    digest  BLOB NOT NULL,
    state   TEXT NOT NULL,
    answer  BLOB,
    begun   INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (begun);

-- +goose Down
DROP TABLE idempotency_keys;
