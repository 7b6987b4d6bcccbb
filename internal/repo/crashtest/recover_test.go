package crashtest

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage/vfs/memfs"
)

// recovery is what happens after a crash: the repository is opened and compared with what may
// be found, the next backup is made, the sweep runs to its end, and all is looked at again.
type recovery struct{ *world }

func newRecovery(disk *memfs.FS, e expectation) *recovery {
	c := &recovery{newWorld(disk)}
	c.note(func(x *expectation) { *x = e.clone() })
	return c
}

func (c *recovery) run(ctx context.Context) error {
	if _, err := c.disk.Stat(root + "/keepward.conf"); err != nil && c.found().created&no != 0 {
		return nil // there is no repository yet
	}
	for _, s := range []struct {
		what string
		do   func(context.Context, *repo.Repository) error
	}{
		{"after the crash", c.compare},
		{"repair", c.repair},
		{"next backup", c.backup},
		{"sweep", c.sweep},
		{"check", c.check},
		{"after recovery", c.compare},
	} {
		if err := c.with(ctx, func(r *repo.Repository) error { return s.do(ctx, r) }); err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// compare compares what is there with what may be. What was found must be found from then on.
func (c *recovery) compare(ctx context.Context, r *repo.Repository) error {
	found := c.found()
	deleted, held, err := markers(ctx, r)
	if err != nil {
		return err
	}
	seen := map[point.Attempt]states{}
	for _, a := range found.attempts() {
		x := found.wants[a]
		is := want{deleted: isSet(deleted[a]), held: isSet(held[a])}
		x.hurt = found.hurt
		if is.point, err = x.stands(ctx, r, c.site, a); err != nil {
			return err
		}
		if err := x.allows(a, is); err != nil {
			return err
		}
		seen[a] = is.point
		c.noteWant(a, func(x *want) {
			x.deleted, x.held = is.deleted, is.held
			// What nobody found may still come to light, or be fenced, if an attempt was on its way.
			if is.point != absent {
				x.point = is.point
			}
			if is.point == absent { // a sweep removes the marker that a purge left
				x.deleted |= no
			}
		})
	}
	if err := c.nothingElse(ctx, r, found); err != nil {
		return err
	}
	// The list is durable, also in what it does not show: what was purged is gone.
	for a, is := range seen {
		c.noteWant(a, func(x *want) {
			if is == absent && x.purging {
				x.point = absent
			}
		})
	}
	return nil
}

// allows tells whether what was found may be.
func (x *want) allows(a point.Attempt, is want) error {
	switch {
	case x.point&is.point == 0:
		return loss(a, "it is%s, and must be%s", is.point, x.point)
	case x.deleted&is.deleted == 0:
		return loss(a, "marked as deleted: %v, must be %v", is.deleted, x.deleted)
	case x.held&is.held == 0:
		return loss(a, "held: %v, must be %v", is.held, x.held)
	case x.purging && is.point == there && is.deleted == no && x.point&absent != 0:
		return loss(a, "half purged, and nothing says so")
	}
	return nil
}

func isSet(set bool) choice {
	if set {
		return yes
	}
	return no
}

func markers(ctx context.Context, r *repo.Repository) (deleted, held map[point.Attempt]bool, err error) {
	deleted, held = map[point.Attempt]bool{}, map[point.Attempt]bool{}
	for m, err := range r.Markers(ctx) {
		if err != nil {
			return nil, nil, err
		}
		if m.Kind == ledger.Held {
			held[m.Attempt] = true
		} else {
			deleted[m.Attempt] = true
		}
	}
	return deleted, held, nil
}

// stands tells what stands under a point's name; a point restores bit for bit.
func (x *want) stands(ctx context.Context, r *repo.Repository, s *repotest.Site, a point.Attempt) (states, error) {
	content, err := r.Point(ctx, a)
	if errs.KindOf(err) == errs.NotFound {
		return absent, nil
	}
	if err != nil {
		return 0, err
	}
	return x.whole(ctx, r, s, a, content)
}

// whole tells what stands under a point's name, and that a point restores bit for bit.
func (x *want) whole(ctx context.Context, r *repo.Repository, s *repotest.Site, a point.Attempt, content []byte) (states, error) {
	p, err := point.Parse(content)
	if err != nil {
		return 0, loss(a, "%v", err)
	}
	if p.Type == point.Tombstone {
		return fenced, nil
	}
	if p.Type != x.kind {
		return 0, loss(a, "it is %v, not %v", p.Type, x.kind)
	}
	got, failed, err := s.Restore(ctx, r, x.computer, a)
	if x.hurt && (len(failed) > 0 || ofDamage(err)) { // but what is restored is right
		for path, content := range got {
			if content != x.files[path] {
				return 0, fmt.Errorf("%w: %w", errWrong, loss(a, "%s", path))
			}
		}
		return there, nil
	}
	if err != nil || len(failed) > 0 {
		return 0, loss(a, "restore: %v, %v", err, failed)
	}
	if !maps.Equal(x.files, got) {
		return 0, loss(a, "restored other files: %s", cmp.Diff(x.files, got))
	}
	return there, nil
}

// nothingElse tells that no point is there that was never begun.
func (c *recovery) nothingElse(ctx context.Context, r *repo.Repository, found expectation) error {
	for o, err := range r.Points(ctx) {
		if err != nil {
			return err
		}
		if _, ok := found.wants[o.Attempt]; !ok {
			return loss(o.Attempt, "nobody began to commit it")
		}
	}
	return nil
}

// repair looks for damage and marks it, if there may be any.
func (c *recovery) repair(ctx context.Context, _ *repo.Repository) error {
	if !c.found().hurt {
		return nil
	}
	return repair(ctx, c.world)
}

// backup makes the next one: it shares files with what is there, and heals what is damaged.
func (c *recovery) backup(ctx context.Context, _ *repo.Repository) error {
	defer c.end()
	next := backup(c.number(), "web1", tree{base: 1, extra: 99})
	if c.found().hurt {
		// Nodes of the index are only stored again by a backup that has the same ones.
		next = together(backup(c.number(), "web1", web), healed, next)
	}
	return next(ctx, c.world)
}

func (c *recovery) check(ctx context.Context, r *repo.Repository) error {
	report, err := r.Check(ctx, c.checkAll())
	if err == nil && len(report.Findings) > 0 {
		err = fmt.Errorf("%d findings, the first: %+v", len(report.Findings), report.Findings[0])
	}
	return err
}

// errWrong is what may never be, whatever is damaged.
var errWrong = errors.New("a file is restored wrongly")

// isLoss tells a loss from a recovery that does not work.
func isLoss(err error) bool {
	var l *lossError
	return errors.As(err, &l)
}
