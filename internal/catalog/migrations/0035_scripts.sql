-- +goose Up
-- Scripts of sessions: the row is there before the script is started, so none is started twice.
CREATE TABLE scripts (
	session INTEGER NOT NULL,
	task TEXT NOT NULL,                  -- empty: the session's, once for all its tasks
	place TEXT NOT NULL,                 -- internal/job.Scripts
	ordered INTEGER NOT NULL,
	ended INTEGER NOT NULL DEFAULT 0,    -- 0: it runs, or nobody knows
	end_json TEXT NOT NULL DEFAULT '',   -- ScriptEnd
	PRIMARY KEY (session, task, place)
) WITHOUT ROWID;

-- How a task ends once the scripts after the job have run.
CREATE TABLE verdicts (
	task TEXT PRIMARY KEY,
	session INTEGER NOT NULL,
	status TEXT NOT NULL,
	text TEXT NOT NULL,
	actor TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX verdicts_of_session ON verdicts (session);

-- +goose Down
DROP TABLE verdicts;
DROP TABLE scripts;
