-- +goose Up
ALTER TABLE repositories ADD COLUMN proof_days INTEGER NOT NULL DEFAULT 0; -- 0: nobody asks
ALTER TABLE repositories ADD COLUMN foreign_proof TEXT NOT NULL DEFAULT ''; -- '': the default
-- ProofState, as the transport counted last.
ALTER TABLE repositories ADD COLUMN proof_json TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE repositories DROP COLUMN proof_json;
ALTER TABLE repositories DROP COLUMN foreign_proof;
ALTER TABLE repositories DROP COLUMN proof_days;
