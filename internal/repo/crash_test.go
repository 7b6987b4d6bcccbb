package repo

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// history is a life of a repository: creation, three backups of two computers, a checkpoint
// and a fenced attempt. It stops at the first error and answers what was acknowledged.
func history(s *site, m *memfs.FS) (created bool, done []*backup) {
	ctx := context.Background()
	d := storage.NewDir(m, "/r")
	key, err := WrapMaster(s.id, s.rec, s.master)
	if err != nil || Create(ctx, d, s.config(), []KeyObject{key}, Owner{Term: 1}) != nil {
		return false, nil
	}
	for i, b := range historyBackups(s) {
		r, err := Open(ctx, d)
		if err != nil {
			return true, done
		}
		err = b.live(ctx, r, i == 1)
		if err == nil {
			done = append(done, b)
			_, err = r.Fence(ctx, attemptNumber(50+i), "test")
		}
		_ = r.Close()
		if err != nil {
			return true, done
		}
	}
	return true, done
}

func historyBackups(s *site) []*backup {
	one, two := someFiles(4, 2500, 1), someFiles(4, 2500, 2)
	for k, v := range one {
		two["same/"+k] = v
	}
	return []*backup{
		{s: s, computer: "web1", attempt: attemptNumber(1), files: one, packSize: 2500},
		{s: s, computer: "db1", attempt: attemptNumber(2), files: two, packSize: 2500},
		{s: s, computer: "web1", attempt: attemptNumber(3), files: someFiles(3, 2500, 3), packSize: 2500},
	}
}

// live runs the backup, with a checkpoint on the way if wanted.
func (b *backup) live(ctx context.Context, r *Repository, checkpoint bool) error {
	w, err := b.writer(r)
	if err != nil {
		return err
	}
	defer w.Abort()
	d, err := b.store(ctx, w)
	if err == nil && checkpoint {
		err = w.Checkpoint(ctx, d, nil)
	}
	if err != nil {
		return err
	}
	issue, err := b.issue()
	if err != nil {
		return err
	}
	d.Type = point.Complete
	return w.Commit(ctx, d, issue)
}

// survived checks a repository after a crash.
func survived(s *site, m *memfs.FS, done []*backup) error {
	ctx := context.Background()
	r, err := Open(ctx, storage.NewDir(m, "/r"))
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // the test is over
	acknowledged := map[point.Attempt]bool{}
	for _, b := range done {
		acknowledged[b.attempt] = true
	}
	all := historyBackups(s)
	for _, b := range all {
		content, err := r.Point(ctx, b.attempt)
		if errs.KindOf(err) == errs.NotFound && !acknowledged[b.attempt] {
			continue
		}
		if err != nil {
			return fmt.Errorf("point %s, acknowledged %v: %w", b.attempt, acknowledged[b.attempt], err)
		}
		if p, err := point.Parse(content); err != nil || p.Type != point.Complete {
			return fmt.Errorf("point %s: %v, %w", b.attempt, p.Type, err)
		}
		// What shows must be whole, whether or not its maker lived to hear of it.
		files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
		if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
			return fmt.Errorf("point %s: %v, failed %v, diff %s", b.attempt, err, failed, diff)
		}
	}
	next := &backup{s: s, computer: "web1", attempt: attemptNumber(9), files: all[1].files, packSize: 2500}
	if _, err := next.run(ctx, r); err != nil {
		return fmt.Errorf("next backup: %w", err)
	}
	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
	if err != nil || len(report.Findings) > 0 {
		return fmt.Errorf("check: %+v, %w", report.Findings, err)
	}
	return nil
}

func TestACrashAtAnyCallLosesNothingThatWasAcknowledged(t *testing.T) {
	s := newSite()
	whole := memfs.New()
	if created, done := history(s, whole); !created || len(done) != 3 {
		t.Fatalf("without a crash: created %v, %d backups", created, len(done))
	}
	for n := 1; n <= whole.Calls(); n++ {
		for seed := range uint64(2) {
			m := memfs.New()
			m.DieAt(n)
			created, done := history(s, m)
			after := m.Restart(uint64(n))
			if seed == 0 {
				after = m.Reopen() // the process died, the power stayed
			}
			err := survived(s, after, done)
			if errs.KindOf(err) == errs.NotFound && !created {
				continue // the repository was not made yet
			}
			if err != nil {
				t.Fatalf("crash at call %d of %d, seed %d: %v", n, whole.Calls(), seed, err)
			}
		}
	}
}
