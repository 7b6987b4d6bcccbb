package catalog

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/job"
)

func TestWhatATaskHoldsIsReplaced(t *testing.T) {
	db := openTest(t)
	ctx := t.Context()
	write := func(fn func(ctx context.Context, tx *sql.Tx) error) {
		t.Helper()
		if err := db.Write(ctx, func(tx *sql.Tx) error { return fn(ctx, tx) }); err != nil {
			t.Fatal(err)
		}
	}
	write(func(ctx context.Context, tx *sql.Tx) error {
		s := Session{Type: job.MediaRefresh, Status: job.Queued, Definition: "{}", Created: time.Now()}
		if err := AddSession(ctx, tx, &s); err != nil {
			return err
		}
		return AddTask(ctx, tx, &Task{ID: "t", Session: s.ID, Status: job.Queued})
	})
	for _, want := range [][]Hold{
		{{Kind: "drive", Name: "d2", Count: 1}, {Kind: "drive", Name: "d1", Count: 1}, {Kind: "copy", Name: "c", Count: 1, Alone: true}},
		{{Kind: "drive", Name: "d3", Count: 1}},
		nil,
	} {
		write(func(ctx context.Context, tx *sql.Tx) error { return PutHolds(ctx, tx, "t", want) })
		got, err := Holds(ctx, db.Read(), "t")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}
