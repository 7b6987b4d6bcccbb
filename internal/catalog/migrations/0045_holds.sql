-- +goose Up
CREATE TABLE holds ( -- what a task holds that could have been something else: which drives, which medium
	task TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
	position INTEGER NOT NULL,
	kind TEXT NOT NULL,
	name TEXT NOT NULL,
	count INTEGER NOT NULL,
	alone INTEGER NOT NULL,
	PRIMARY KEY (task, position)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE holds;
