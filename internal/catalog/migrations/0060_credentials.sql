-- +goose Up
CREATE TABLE credentials ( -- users and secrets of applications
	name TEXT PRIMARY KEY,
	user TEXT NOT NULL,
	description TEXT NOT NULL,
	secret BLOB NOT NULL,      -- sealed by the server's key, bound to the name
	created INTEGER NOT NULL,
	changed INTEGER NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE credentials;
