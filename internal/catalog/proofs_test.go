package catalog

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

func TestProofsOfARepositoryComeBack(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	state := &keepwardv1.ProofState{Packs: 3, Bytes: 1 << 40, DuePacks: 1}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(SetProofs(ctx, tx, "main", 30, "never"), NoteProofs(ctx, tx, "main", state))
	})
	got, err := GetRepository(t.Context(), db.Read(), "main")
	if diff := cmp.Diff(Proofs{Days: 30, Foreign: "never", State: state}, got.Proofs, protocmp.Transform()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestTheLastMaintenanceIsThatOfItsTypeAndStarter(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	var want int64
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		for i, s := range []Session{
			{Repository: "main", Type: job.Verify, StartedBy: "proofs"},
			{Repository: "main", Type: job.Verify, StartedBy: "admin"},
			{Repository: "main", Type: job.Sweep, StartedBy: "proofs"},
			{Repository: "other", Type: job.Verify, StartedBy: "proofs"},
		} {
			s.Created, s.Status = noon.Add(time.Duration(i)*time.Hour), job.Completed
			if err := AddSession(ctx, tx, &s); err != nil {
				return err
			}
			if i == 0 {
				want = s.ID
			}
		}
		return nil
	})
	got, ok, err := LastMaintenance(t.Context(), db.Read(), "main", job.Verify, "proofs")
	if err != nil || !ok || got.ID != want {
		t.Errorf("%+v, %v, %v", got, ok, err)
	}
	if _, ok, err := LastMaintenance(t.Context(), db.Read(), "main", job.Retention, "proofs"); ok || err != nil {
		t.Errorf("%v, %v", ok, err)
	}
}
