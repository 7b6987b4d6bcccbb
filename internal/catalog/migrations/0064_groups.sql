-- +goose Up
-- Times are nanoseconds since 1970 UTC; 0 means never.

CREATE TABLE protection_groups (
    name       TEXT PRIMARY KEY,
    definition TEXT NOT NULL, -- the whole group as JSON of keepward.v1.Group
    created    INTEGER NOT NULL,
    changed    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Names that a group has from elsewhere: the last good list of a file or of an inventory of cloud
-- machines, and computers that joined with a token of the group. They need not have joined.
CREATE TABLE group_names (
    grp      TEXT NOT NULL REFERENCES protection_groups (name) ON DELETE CASCADE,
    source   TEXT NOT NULL, -- file, cloud, token
    computer TEXT NOT NULL,
    PRIMARY KEY (grp, source, computer)
) STRICT, WITHOUT ROWID;

-- How the reading of such a list stands.
CREATE TABLE group_lists (
    grp           TEXT NOT NULL REFERENCES protection_groups (name) ON DELETE CASCADE,
    source        TEXT NOT NULL,
    origin        TEXT NOT NULL, -- where it came from: another file is another list
    state         TEXT NOT NULL, -- of the file as it was tried last: size and time of change
    read          INTEGER NOT NULL DEFAULT 0,
    tried         INTEGER NOT NULL,
    problem       TEXT NOT NULL DEFAULT '',
    problem_code  TEXT NOT NULL DEFAULT '',
    problem_since INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (grp, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE job_groups (
    job TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
    grp TEXT NOT NULL REFERENCES protection_groups (name),
    PRIMARY KEY (job, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_groups_by_group ON job_groups (grp);

-- Who was in a job because of a group when that was looked at last.
CREATE TABLE job_members (
    job      TEXT NOT NULL REFERENCES jobs (name) ON DELETE CASCADE,
    computer TEXT NOT NULL,
    PRIMARY KEY (job, computer)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_members_by_computer ON job_members (computer);

CREATE TABLE computer_tags (
    computer TEXT NOT NULL REFERENCES computers (name) ON DELETE CASCADE,
    tag      TEXT NOT NULL,
    PRIMARY KEY (computer, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE inventories (
    computer TEXT PRIMARY KEY REFERENCES computers (name) ON DELETE CASCADE,
    taken    INTEGER NOT NULL,
    content  TEXT NOT NULL -- JSON of keepward.v1.Inventory
) STRICT, WITHOUT ROWID;

-- A token of a group is for any number of computers until it expires or is revoked.
ALTER TABLE join_tokens ADD COLUMN grp TEXT NOT NULL DEFAULT '';
ALTER TABLE join_tokens ADD COLUMN uses INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE join_tokens DROP COLUMN uses;
ALTER TABLE join_tokens DROP COLUMN grp;
DROP TABLE inventories;
DROP TABLE computer_tags;
DROP TABLE job_members;
DROP TABLE job_groups;
DROP TABLE group_lists;
DROP TABLE group_names;
DROP TABLE protection_groups;
