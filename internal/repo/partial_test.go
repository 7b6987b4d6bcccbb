package repo

import (
	"context"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
)

func TestACheckpointBecomesAPartialPoint(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(5, 3000, 2)}
	w, err := b.writer(open(t, m))
	must(t, err)
	defer w.Abort()
	d, err := b.store(ctx, w)
	must(t, err)
	issue, err := b.issue()
	must(t, err)
	must(t, w.Checkpoint(ctx, d, issue))

	r := open(t, m)
	for range 2 { // twice is once
		done, err := r.CommitCheckpoint(ctx, b.attempt, "ended early")
		if err != nil || !done {
			t.Fatalf("committed %v, %v", done, err)
		}
	}
	if partial, err := r.IsPartial(ctx, b.attempt); err != nil || !partial {
		t.Errorf("partial %v, %v", partial, err)
	}
	if err := w.Commit(ctx, d, issue); errs.CodeOf(err) != "attempt.committed" {
		t.Errorf("its mover could commit another point: %v", err)
	}
	again := open(t, m)
	files, failed, err := restore(ctx, again, s, "web1", b.attempt)
	if err != nil || len(failed) != 0 || len(files) != len(b.files) {
		t.Errorf("restored %d files, %d failed, %v", len(files), len(failed), err)
	}
	for name, content := range b.files {
		if files[name] != content {
			t.Errorf("%s differs", name)
		}
	}
	if committed, err := again.Fence(ctx, b.attempt, "late"); err != nil || !committed {
		t.Errorf("a partial point was fenced: %v, %v", committed, err)
	}
}

func TestWithoutACheckpointThereIsNoPartialPoint(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(3, 1000, 2)}
	w, err := b.writer(open(t, m))
	must(t, err)
	defer w.Abort()
	d, err := b.store(ctx, w)
	must(t, err)
	r := open(t, m)
	if done, err := r.CommitCheckpoint(ctx, b.attempt, "ended early"); err != nil || done {
		t.Fatalf("committed %v, %v", done, err)
	}
	if partial, err := r.IsPartial(ctx, b.attempt); err != nil || partial {
		t.Errorf("partial %v, %v", partial, err)
	}
	if err := w.Commit(ctx, d, nil); err == nil { // it has lost its packs, or finds the tombstone
		t.Error("an attempt that was cut off committed")
	}
}

// What stands under the name first stays: a point, or a tombstone.
func TestAPartialPointReplacesNothing(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	whole := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(3, 1000, 2)}
	_, err := whole.run(ctx, open(t, m))
	must(t, err)
	cut := &backup{s: s, computer: "web1", attempt: attemptNumber(2), files: someFiles(3, 1000, 3)}
	w, err := cut.writer(open(t, m))
	must(t, err)
	defer w.Abort()
	d, err := cut.store(ctx, w)
	must(t, err)
	must(t, w.Checkpoint(ctx, d, nil))
	r := open(t, m)
	_, err = r.Fence(ctx, cut.attempt, "cut off")
	must(t, err)
	for _, c := range []struct {
		attempt point.Attempt
		want    bool
	}{{whole.attempt, true}, {cut.attempt, false}} {
		done, err := r.CommitCheckpoint(ctx, c.attempt, "ended early")
		if err != nil || done != c.want {
			t.Errorf("attempt %s: committed %v, %v, want %v", c.attempt, done, err, c.want)
		}
		if partial, err := r.IsPartial(ctx, c.attempt); err != nil || partial {
			t.Errorf("attempt %s: partial %v, %v", c.attempt, partial, err)
		}
	}
}
