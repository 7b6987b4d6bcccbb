-- +goose Up
-- How the backups of each computer went, one row a day: the best of the day. The row is written in the
-- transaction that ends a task, whichever way it ends. The day is that, in UTC, on which the session was
-- made: a backup that ends after midnight is that of the evening before. Sessions are forgotten earlier
-- than these rows.
CREATE TABLE protection_days (
    computer TEXT NOT NULL,
    day      INTEGER NOT NULL, -- since 1970 UTC
    result   INTEGER NOT NULL, -- 1 failed, 2 partial, 3 warning, 4 success: catalog.Protection
    PRIMARY KEY (computer, day)
) STRICT, WITHOUT ROWID;
-- Which computers have failed days is found without looking at the others.
CREATE INDEX protection_days_failed ON protection_days (computer, day) WHERE result = 1;

-- What a status is worth; the two triggers say the same.
INSERT INTO protection_days (computer, day, result)
    SELECT tasks.computer, sessions.created / 86400000000000, max(CASE tasks.status
        WHEN 'Completed' THEN 4 WHEN 'Completed w/ warnings' THEN 3 WHEN 'Completed w/ errors' THEN 2 WHEN 'Committed' THEN 2 ELSE 1 END)
    FROM sessions JOIN tasks ON tasks.session = sessions.id
    WHERE sessions.type = 'backup' AND tasks.ended <> 0 AND tasks.computer <> '' AND sessions.created >= (unixepoch() - 400 * 86400) * 1000000000
    GROUP BY 1, 2;

-- +goose StatementBegin
CREATE TRIGGER protection_task_ended AFTER UPDATE OF ended ON tasks WHEN OLD.ended = 0 AND NEW.ended <> 0 AND NEW.computer <> ''
BEGIN
    INSERT INTO protection_days (computer, day, result)
        SELECT NEW.computer, created / 86400000000000, CASE NEW.status
            WHEN 'Completed' THEN 4 WHEN 'Completed w/ warnings' THEN 3 WHEN 'Completed w/ errors' THEN 2 WHEN 'Committed' THEN 2 ELSE 1 END
        FROM sessions WHERE id = NEW.session AND type = 'backup'
        ON CONFLICT (computer, day) DO UPDATE SET result = excluded.result WHERE excluded.result > result;
END;
-- +goose StatementEnd
-- A session that is refused has tasks that are over as soon as they are made.
-- +goose StatementBegin
CREATE TRIGGER protection_task_refused AFTER INSERT ON tasks WHEN NEW.ended <> 0 AND NEW.computer <> ''
BEGIN
    INSERT INTO protection_days (computer, day, result)
        SELECT NEW.computer, created / 86400000000000, CASE NEW.status
            WHEN 'Completed' THEN 4 WHEN 'Completed w/ warnings' THEN 3 WHEN 'Completed w/ errors' THEN 2 WHEN 'Committed' THEN 2 ELSE 1 END
        FROM sessions WHERE id = NEW.session AND type = 'backup'
        ON CONFLICT (computer, day) DO UPDATE SET result = excluded.result WHERE excluded.result > result;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER protection_task_refused;
DROP TRIGGER protection_task_ended;
DROP TABLE protection_days;
