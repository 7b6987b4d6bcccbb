-- +goose Up
-- Programs of agents that the server holds beside its own.
CREATE TABLE agent_packages (
    os         TEXT NOT NULL,
    arch       TEXT NOT NULL,
    version    TEXT NOT NULL,
    definition TEXT NOT NULL, -- JSON of keepward.v1.AgentPackage
    PRIMARY KEY (os, arch, version)
) STRICT, WITHOUT ROWID;

-- Versions on their way to computers.
CREATE TABLE rollouts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    status     TEXT NOT NULL,
    definition TEXT NOT NULL  -- JSON of keepward.v1.Rollout
) STRICT;
CREATE INDEX rollouts_by_status ON rollouts (status);

-- Updates that failed, until another one of that computer goes well.
CREATE TABLE update_problems (
    computer   TEXT PRIMARY KEY REFERENCES computers (name) ON DELETE CASCADE,
    definition TEXT NOT NULL  -- JSON of keepward.v1.UpdateProblem
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE update_problems;
DROP TABLE rollouts;
DROP TABLE agent_packages;
