-- +goose Up
-- Jobs that agents manage, as they were issued to one computer.
CREATE TABLE standing_policies (
    id          TEXT PRIMARY KEY,
    job         TEXT NOT NULL,
    computer    TEXT NOT NULL,
    repository  TEXT NOT NULL,
    transport   TEXT NOT NULL,
    fingerprint TEXT NOT NULL, -- of all that the agent and the transport were told
    definition  TEXT NOT NULL, -- JSON of keepward.v1.Job, as sessions keep it
    issued      INTEGER NOT NULL,
    valid_until INTEGER NOT NULL,
    delivered   INTEGER NOT NULL, -- the agent has it
    superseded  INTEGER NOT NULL  -- none of its attempts may be opened any more
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_policies_computer ON standing_policies (computer);

-- The attempts of a policy that are not used up.
CREATE TABLE standing_attempts (
    id      TEXT PRIMARY KEY,
    policy  TEXT NOT NULL REFERENCES standing_policies (id),
    task    TEXT NOT NULL,
    session INTEGER NOT NULL -- 0: nobody has told of it yet
) STRICT, WITHOUT ROWID;
CREATE INDEX standing_attempts_policy ON standing_attempts (policy);

-- +goose Down
DROP TABLE standing_attempts;
DROP TABLE standing_policies;
