package crashtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/storage/vfs/memfs"
)

// A disk whose cache is not written at a flush loses what was acknowledged: nothing can be
// done about that. But no file comes back wrong, and what is lost is named: a point that is
// gone is missing in the list, and of those that are there the check names what cannot be
// restored.
func TestWhatALyingDiskLosesIsNamed(t *testing.T) {
	lies := 0
	for _, h := range []history{
		{"one computer", made, []step{backup(1, "web1", web), backup(2, "web1", webTwo)}},
		{"two computers", with(backup(1, "web1", web)), []step{backup(2, "db1", db), backup(3, "web1", other)}},
		{"a sweep", with(backup(1, "web1", web), backup(2, "web1", tree{base: 2, extra: 5}), remove(1)), []step{everything.sweeps(1)}},
	} {
		t.Run(h.name, func(t *testing.T) {
			for seed := range 10 * uint64(memfs.Losses) {
				w := newWorld(memfs.New())
				ctx := context.Background()
				if err := w.run(ctx, h.before); err != nil {
					t.Fatal(err)
				}
				w.disk.Lie()
				if err := w.run(ctx, h.acts); err != nil {
					t.Fatal(err)
				}
				w.end()
				after := &recovery{newWorld(w.disk.Restart(seed))}
				lost, err := after.losses(ctx, w.found())
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				lies += lost
			}
		})
	}
	if lies == 0 {
		t.Error("nothing was ever lost: the disk did not lie")
	}
	t.Logf("%d points were lost, and named", lies)
}

// losses counts the points that are gone or cannot be restored whole. It is an error if the
// check does not name one of these.
func (c *recovery) losses(ctx context.Context, e expectation) (lost int, err error) {
	r, err := c.open(ctx)
	if k := errs.KindOf(err); k == errs.Corrupt || k == errs.NotFound {
		return len(e.wants), nil // nothing is left, and it says so
	}
	if err != nil {
		return 0, err
	}
	defer r.Close() //nolint:errcheck // the test is over
	report, err := r.Check(ctx, c.checkAll())
	if err != nil {
		return 0, fmt.Errorf("check: %w", err)
	}
	for _, a := range e.attempts() {
		x := e.wants[a]
		if x.point != there {
			continue
		}
		x.hurt = true
		content, err := r.Point(ctx, a)
		if errs.KindOf(err) == errs.NotFound {
			lost++
			continue
		}
		if err != nil {
			return lost, err
		}
		whole := x
		whole.hurt = false
		if _, err := whole.whole(ctx, r, c.site, a, content); err == nil {
			continue
		}
		lost++
		if _, err := x.whole(ctx, r, c.site, a, content); errors.Is(err, errWrong) {
			return lost, err
		}
		if !names(report, a) {
			return lost, fmt.Errorf("point %s cannot be restored whole, and the check names %+v", a, report.Findings)
		}
	}
	return lost, nil
}

// names tells whether a report says that something of a point is lost.
func names(report repo.Report, a point.Attempt) bool {
	return slices.ContainsFunc(report.Findings, func(f repo.Finding) bool {
		if f.Name == "points/"+a.String() {
			return true
		}
		return slices.ContainsFunc(f.Affected, func(x repo.AffectedFile) bool { return x.Point == a })
	})
}
