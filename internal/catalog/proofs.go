package catalog

import (
	"context"
	"database/sql"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// Proofs is how well the content of a repository is to be proved, and is.
type Proofs struct {
	// Days is within how many days everything is to be proved; 0: nobody asks.
	Days int32
	// Foreign is when chunks of another computer are proved; empty: the default.
	Foreign string
	// Parity is how many percent of its size each pack gets as parity; 0: none.
	Parity int32
	// State is as the transport counted last; nil: never.
	State *keepwardv1.ProofState
}

func (p *Proofs) readState(text string) error {
	if text == "" {
		return nil
	}
	p.State = &keepwardv1.ProofState{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(text), p.State); err != nil {
		return fmt.Errorf("read state of proofs: %w", err)
	}
	return nil
}

// SetProofs sets how well a repository is to be proved.
func SetProofs(ctx context.Context, tx *sql.Tx, name string, days int32, foreign string) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET proof_days = ?, foreign_proof = ? WHERE name = ?`, days, foreign, name)
	if err != nil {
		return fmt.Errorf("set proofs of repository %s: %w", name, err)
	}
	return nil
}

// SetParity sets how many percent of its size each pack gets as parity.
func SetParity(ctx context.Context, tx *sql.Tx, name string, percent int32) error {
	_, err := tx.ExecContext(ctx, `UPDATE repositories SET parity = ? WHERE name = ?`, percent, name)
	if err != nil {
		return fmt.Errorf("set parity of repository %s: %w", name, err)
	}
	return nil
}

// NoteProofs keeps what a transport counted.
func NoteProofs(ctx context.Context, tx *sql.Tx, name string, state *keepwardv1.ProofState) error {
	text, err := protojson.Marshal(state)
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE repositories SET proof_json = ? WHERE name = ?`, string(text), name)
	}
	if err != nil {
		return fmt.Errorf("note proofs of repository %s: %w", name, err)
	}
	return nil
}

// LastMaintenance is the newest session of a type that somebody started for a repository, and
// whether there is one.
func LastMaintenance(ctx context.Context, q Queryer, repository string, typ job.Type, startedBy string) (Session, bool, error) {
	s, err := scanSession(q.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions
		WHERE repository = ? AND type = ? AND started_by = ? ORDER BY id DESC LIMIT 1`, repository, typ, startedBy))
	return found(s, err, "read last session of repository")
}
