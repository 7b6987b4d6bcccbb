-- +goose Up
ALTER TABLE computers ADD COLUMN zone TEXT NOT NULL DEFAULT ''; -- as its agent says: a name, or an offset such as +02:00; '': not known

-- +goose Down
ALTER TABLE computers DROP COLUMN zone;
