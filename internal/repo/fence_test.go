package repo

import (
	"context"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/storage"
)

// Whoever cuts an attempt off takes its open packs away. What its mover finds then is not what it
// reports: it was cut off.
func TestAnAttemptThatLostItsOpenPacksSaysThatItWasCutOff(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	dir := t.TempDir()
	d, err := storage.OpenDir(dir)
	must(t, err)
	s.create(t, d)
	b := historyBackups(s)[0]
	b.packSize = 1 << 20 // one, open until the commit
	r, err := Open(ctx, d)
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	w, err := b.writer(r)
	must(t, err)
	defer w.Abort()
	draft, err := b.store(ctx, w)
	must(t, err)
	another, err := Open(ctx, d)
	must(t, err)
	defer another.Close() //nolint:errcheck // the test is over
	_, err = another.Fence(ctx, b.attempt, "test")
	must(t, err)
	for range 2 { // and it is over
		wantKind(t, "commit", w.Commit(ctx, draft, nil), errs.Denied, "attempt.fenced")
	}
}
