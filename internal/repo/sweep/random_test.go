package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
)

// chaos does what movers, sweeps and a server may do, in any order: while a sweep is at any of
// its steps, others begin, store, commit, are cut off, come back, or sweep too.
type chaos struct {
	*world
	rng     *rand.Rand
	pool    map[string]string
	movers  []*mover
	drafts  map[*mover]*point.Draft
	fenced  map[*mover]bool
	deleted []point.Attempt
	n       int
	depth   int
	log     []string
}

var errKilled = errors.New("killed")

func (c *chaos) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf("%*s", 2*c.depth, "")+fmt.Sprintf(format, args...))
}

func (c *chaos) act() {
	actions := []func(){c.start, c.start, c.store, c.store, c.finishOne, c.finishOne, c.cutOff, c.drop, c.undelete, c.sweepNow}
	actions[c.rng.IntN(len(actions))]()
}

func (c *chaos) start() {
	if len(c.movers) > 3 {
		return
	}
	c.n++
	files := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(c.pool)) {
		if c.rng.IntN(3) == 0 {
			files[k] = c.pool[k]
		}
	}
	computer := []string{"web1", "db1"}[c.rng.IntN(2)]
	m := c.begin(computer, c.n, files)
	c.note("mover %d of %s begins", c.n, computer)
	c.movers = append(c.movers, m)
}

func (c *chaos) any() *mover {
	if len(c.movers) == 0 {
		return nil
	}
	return c.movers[c.rng.IntN(len(c.movers))]
}

// store lets a mover store all it has, or take over a point of its computer.
func (c *chaos) store() {
	m := c.any()
	if m == nil || c.drafts[m] != nil {
		return
	}
	var d point.Draft
	var err error
	if parent := c.parentFor(m); parent != nil && c.rng.IntN(2) == 0 {
		d, err = m.takeOver(parent)
		c.note("mover %s takes over %s: %v", m.Attempt, parent.Attempt, err)
		if errs.KindOf(err) == errs.NotFound {
			return // purged by a sweep that is still under way
		}
	} else {
		d, err = m.Store(c.ctx, m.writer, m.Files)
		c.note("mover %s stores: %v", m.Attempt, err)
	}
	must(c, err)
	c.drafts[m] = &d
	if c.rng.IntN(3) == 0 {
		must(c, m.writer.Flush(c.ctx))
	}
}

func (c *chaos) parentFor(m *mover) *repotest.Backup {
	for _, a := range slices.SortedFunc(maps.Keys(c.want), point.Attempt.Compare) {
		if b := c.want[a]; b.Computer == m.Computer {
			return b
		}
	}
	return nil
}

// finishOne commits a mover; one that was cut off is refused.
func (c *chaos) finishOne() {
	m := c.any()
	if m == nil || c.drafts[m] == nil {
		return
	}
	err := m.commit(*c.drafts[m])
	c.note("mover %s commits: %v", m.Attempt, err)
	if errs.CodeOf(err) == "commit.condemned" {
		return // once more, when the sweep has judged
	}
	if (err != nil) != c.fenced[m] {
		c.Fatalf("commit %s, cut off %v: %v", m.Attempt, c.fenced[m], err)
	}
	if err != nil {
		m.writer.Abort()
	}
	c.forget(m)
}

func (c *chaos) forget(m *mover) {
	c.movers = slices.DeleteFunc(c.movers, func(o *mover) bool { return o == m })
	delete(c.drafts, m)
}

// cutOff fences a mover; it does not know, and goes on.
func (c *chaos) cutOff() {
	m := c.any()
	if m == nil {
		return
	}
	_, err := c.open().Fence(c.ctx, m.Attempt, "test")
	must(c, err)
	c.fenced[m] = true
	c.note("mover %s is cut off", m.Attempt)
	if c.rng.IntN(2) == 0 {
		m.writer.Abort()
		c.forget(m)
	}
}

// drop marks a point as deleted. The server pins what a mover reads.
func (c *chaos) drop() {
	if len(c.want) < 2 {
		return
	}
	all := slices.SortedFunc(maps.Keys(c.want), point.Attempt.Compare)
	all = slices.DeleteFunc(all, func(a point.Attempt) bool { return slices.Contains(c.deleted, a) })
	if len(all) == 0 {
		return
	}
	a := all[c.rng.IntN(len(all))]
	must(c, c.open().MarkDeleted(c.ctx, a, repo.Note{Reason: "test"}))
	c.note("point %s is deleted", a)
	c.deleted = append(c.deleted, a)
}

func (c *chaos) undelete() {
	if len(c.deleted) == 0 {
		return
	}
	i := c.rng.IntN(len(c.deleted))
	a := c.deleted[i]
	err := c.open().Undelete(c.ctx, a)
	c.note("point %s is undeleted: %v", a, err)
	switch errs.KindOf(err) {
	case "":
	case errs.NotFound: // purged by a sweep that is still under way
		delete(c.want, a)
	default:
		c.Fatal(err)
	}
	c.deleted = slices.Delete(c.deleted, i, i+1)
}

// sweepNow sweeps, with anything happening meanwhile, and may be killed.
func (c *chaos) sweepNow() {
	if c.depth > 2 {
		return
	}
	r := c.open()
	o := c.options(slices.Clone(c.deleted))
	if c.rng.IntN(2) == 0 {
		o = c.full(r, o.Purge)
	}
	o.Event = nil
	ctx, kill := context.WithCancelCause(c.ctx)
	defer kill(nil)
	name := o.Attempt
	c.note("sweep %s begins, to purge %v", name, o.Purge)
	c.depth++
	o.Progress = func(s Step, done, total int64) {
		if done == 0 {
			c.note("at %s of %d", s, total)
		}
		if c.rng.IntN(4) == 0 {
			c.act()
		}
		if c.rng.IntN(60) == 0 {
			c.note("killed at %s %d", s, done)
			kill(errKilled)
		}
	}
	report, err := Run(ctx, r, o)
	c.depth--
	c.note("sweep %s ends: generation %d, done %v, unsettled %v, purged %v, deleted %d, spared %d, %v", name,
		report.Generation, report.Done, report.Unsettled, report.Purged, report.DeletedPacks, report.SparedPacks, err)
	for _, a := range report.Purged {
		delete(c.want, a)
		c.deleted = slices.DeleteFunc(c.deleted, func(o point.Attempt) bool { return o == a })
	}
	allowed := ctx.Err() != nil || errs.CodeOf(err) == "sweep.overtaken"
	if err != nil && !allowed {
		c.Fatalf("sweep: %v", err)
	}
}

func (c *chaos) story() string {
	text := ""
	for _, l := range c.log {
		text += l + "\n"
	}
	return text
}

func TestWhateverHappensDuringASweepNoPointIsLost(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 20
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			c := &chaos{world: w, rng: rand.New(rand.NewPCG(seed, 9)), pool: repotest.Files(20, 2500, 7), drafts: map[*mover]*point.Draft{}, fenced: map[*mover]bool{}}
			defer func() {
				if t.Failed() {
					t.Log(c.story())
				}
			}()
			for range 40 {
				c.act()
			}
			c.intact()
			for len(c.movers) > 0 {
				m := c.movers[0]
				_, err := c.open().Fence(c.ctx, m.Attempt, "the end")
				must(t, err)
				m.writer.Abort()
				c.forget(m)
			}
			c.settle()
			c.intact()
			c.clean()
		})
	}
}

// settle sweeps until nothing is left to do.
func (c *chaos) settle() {
	for range 5 {
		report := c.sweep(slices.Clone(c.deleted))
		for _, a := range report.Purged {
			delete(c.want, a)
		}
		if !report.Done {
			c.Fatalf("%+v", report)
		}
	}
}

// clean checks that what no point needs is gone.
func (c *chaos) clean() {
	r := c.open()
	o := c.options(nil)
	o.DryRun = true
	report, err := Run(c.ctx, r, o)
	must(c, err)
	if report.CondemnedPacks != 0 || !report.Done {
		c.Fatalf("%+v", report)
	}
	for _, dir := range []string{"attempts", "deleted", "held"} {
		if left := c.objects(dir); len(left) != 0 {
			c.Fatalf("left over: %v", left)
		}
	}
}
