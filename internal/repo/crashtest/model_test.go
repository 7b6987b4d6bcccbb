package crashtest

import (
	"context"
	"flag"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage/vfs/memfs"
)

var (
	soak     = flag.Duration("soak", 0, "try random histories for so long")
	soakSeed = flag.Uint64("seed", 0, "the first seed of the soak; 0: a random one")
)

// model is a random history: several computers write, points are deleted and come back, movers
// are killed and the power goes, in an order that the seed decides.
type model struct {
	*world
	*scheduler
	acts  []*act
	next  int // number of the next attempt
	trace []string
	err   error // the first that may not be
	// over are attempts whose process has ended without a point; nobody has settled them yet.
	over map[point.Attempt]bool
	// busy are points that somebody changes the markers of: the server does one at a time.
	busy map[point.Attempt]bool
}

// act is what an actor does.
type act struct {
	*actor
	attempt point.Attempt // of a writer
	on      point.Attempt // the point whose markers it changes
	sweep   bool
	beside  bool // another sweep
}

func (m *model) note(format string, args ...any) {
	m.trace = append(m.trace, fmt.Sprintf("%4d ", m.steps)+fmt.Sprintf(format, args...))
}

// fails notes an error that may not be.
func (m *model) fails(what string, err error) {
	if err != nil && m.err == nil {
		m.err = fmt.Errorf("%s: %w", what, err)
	}
}

// spawn starts an act by a new process. Errors of one that was killed mean nothing.
func (m *model) spawn(x *act, what string, do func(ctx context.Context, w *world) error) {
	fs := m.disk.Process()
	m.note("%s", what)
	w := &world{site: m.site, disk: m.disk, process: func() *memfs.FS { return fs }, number: m.number, journal: m.journal, lives: map[point.Attempt]*life{}}
	x.actor = &actor{name: fmt.Sprintf("%03d", len(m.trace)), fs: fs}
	m.start(x.actor, func() {
		err := do(context.Background(), w)
		w.end()
		if !x.killed {
			m.fails(what, err)
		}
	})
	m.acts = append(m.acts, x)
}

// reap forgets acts that have ended.
func (m *model) reap() {
	m.acts = slices.DeleteFunc(m.acts, func(x *act) bool {
		if !x.ended {
			return false
		}
		delete(m.busy, x.on)
		if x.attempt != (point.Attempt{}) && m.found().wants[x.attempt].point != there {
			m.over[x.attempt] = true
		}
		return true
	})
}

// run lives for some eras, each of which ends with a crash.
func (m *model) run(ctx context.Context, eras int) error {
	if err := create(ctx, m.world); err != nil {
		return err
	}
	for range eras {
		m.era()
		if err := m.crash(ctx); err != nil {
			return err
		}
	}
	return (&recovery{m.world}).run(ctx)
}

// era lets things happen for a while.
func (m *model) era() {
	for limit := m.steps + 200 + m.rng.IntN(1500); m.steps < limit && m.err == nil; {
		m.reap()
		if len(m.acts) < 4 && (len(m.acts) == 0 || m.rng.IntN(30) == 0) {
			m.begin()
		}
		if m.rng.IntN(400) == 0 && len(m.acts) > 0 {
			x := m.acts[m.rng.IntN(len(m.acts))]
			m.note("kill %s", x.name)
			m.kill(x.actor)
		}
		m.step()
	}
}

// crash ends all processes, and often the power, and looks what is left.
func (m *model) crash(ctx context.Context) error {
	for _, x := range m.acts {
		m.kill(x.actor)
	}
	m.reap()
	found := m.found()
	if len(m.acts) > 0 {
		return fmt.Errorf("%d processes were killed and go on", len(m.acts))
	}
	if m.err != nil {
		return m.err
	}
	if seed := m.rng.Uint64N(1 << 32); seed%4 == 0 {
		m.note("all processes die")
		m.disk = m.disk.Reopen()
	} else {
		m.note("the power goes, seed %d", seed)
		m.disk = m.disk.Restart(seed)
	}
	m.process, m.journal = m.disk.Process, &journal{}
	m.world.note(func(e *expectation) { *e = found.clone() })
	return m.with(ctx, func(r *repo.Repository) error { return (&recovery{m.world}).compare(ctx, r) })
}

var computers = []string{"web1", "web2", "db1"}

// begin starts a random act.
func (m *model) begin() {
	switch n := m.rng.IntN(12); {
	case n < 5:
		m.writes()
	case n < 6:
		m.fences()
	case n < 8:
		m.marks()
	case n < 9:
		m.restores()
	case n < 10:
		m.checks()
	default:
		m.sweeps()
	}
}

// sweeps lets a sweep run, sometimes beside another. It purges what may go, and fences
// attempts that are over if it has to wait for them.
func (m *model) sweeps() {
	u := upkeep{compact: m.rng.IntN(2) == 0, merge: m.rng.IntN(2) == 0}
	x := &act{sweep: true}
	what := fmt.Sprintf("sweep %+v", u)
	var purge []point.Attempt
	i := slices.IndexFunc(m.acts, func(x *act) bool { return x.sweep })
	if a, ok := m.pick(m.points(func(x want) bool { return x.deleted == yes && x.held == no })); ok {
		purge, x.on, m.busy[a] = []point.Attempt{a}, a, true
		what += " purge " + a.String()
	}
	if i >= 0 && m.rng.IntN(3) > 0 {
		delete(m.busy, x.on)
		return // two at once are rare
	}
	if i >= 0 {
		x.beside, m.acts[i].beside = true, true
	}
	m.spawn(x, what, func(ctx context.Context, w *world) error {
		report, err := u.sweepOnce(ctx, w, purge)
		for _, a := range report.Unsettled {
			if m.over[a] && err == nil {
				err = fenceOf(a)(ctx, w)
			}
		}
		if k := errs.KindOf(err); x.beside && (k == errs.Denied || k == errs.NotFound) {
			err = nil // overtaken by the other sweep, which also takes away what a merge has not finished
		}
		return err
	})
}

func (m *model) writes() {
	n, computer := m.number(), computers[m.rng.IntN(len(computers))]
	t := tree{base: 1 + m.rng.Uint64N(3), extra: m.rng.Uint64N(4), small: m.rng.Uint64N(3), half: m.rng.IntN(2) == 0}
	steps := []step{begin(n, computer, t)}
	what := fmt.Sprintf("attempt %d of %s, tree %+v:", n, computer, t)
	for range m.rng.IntN(3) {
		count := 1 + m.rng.IntN(2)
		do := []func(int, int) step{storing, flush, checkpoint}[m.rng.IntN(3)]
		steps = append(steps, do(n, count))
		what += fmt.Sprintf(" some %d,", count)
	}
	if m.rng.IntN(5) == 0 {
		steps, what = append(steps, abort(n)), what+" abort"
	} else {
		steps, what = append(steps, commit(n, point.Complete)), what+" commit"
	}
	a := repotest.Attempt(n)
	m.spawn(&act{attempt: a}, what, func(ctx context.Context, w *world) error {
		err := w.run(ctx, steps)
		if m.found().wants[a].point&fenced != 0 {
			return nil // cut off: it may end in any way but with a point
		}
		return err
	})
}

// fences settles an attempt: one that is over, or one that is on its way.
func (m *model) fences() {
	var all []point.Attempt
	for a := range m.over {
		all = append(all, a)
	}
	for _, x := range m.acts {
		if x.attempt != (point.Attempt{}) {
			all = append(all, x.attempt)
		}
	}
	if a, ok := m.pick(all); ok {
		delete(m.over, a)
		m.spawn(&act{}, fmt.Sprintf("fence %s", a), fenceOf(a))
	}
}

// pick chooses one of all.
func (m *model) pick(all []point.Attempt) (point.Attempt, bool) {
	if len(all) == 0 {
		return point.Attempt{}, false
	}
	slices.SortFunc(all, func(a, b point.Attempt) int { return strings.Compare(a.String(), b.String()) })
	return all[m.rng.IntN(len(all))], true
}

// points are those that are there for certain and that pass a filter.
func (m *model) points(pass func(want) bool) []point.Attempt {
	var all []point.Attempt
	for a, x := range m.found().wants {
		if x.point == there && !m.busy[a] && pass(x) {
			all = append(all, a)
		}
	}
	return all
}

// marks changes a marker of a point.
func (m *model) marks() {
	kinds := []struct {
		name string
		do   func(point.Attempt) step
		pass func(want) bool
	}{
		{"delete", removeOf, func(x want) bool { return x.held == no }},
		{"undelete", undeleteOf, func(want) bool { return true }},
		{"hold", holdOf, func(want) bool { return true }},
		{"release", releaseOf, func(want) bool { return true }},
		{"purge", purgeOf, func(x want) bool { return x.deleted == yes && x.held == no }},
	}
	k := kinds[m.rng.IntN(len(kinds))]
	if a, ok := m.pick(m.points(k.pass)); ok {
		m.busy[a] = true
		m.spawn(&act{on: a}, k.name+" "+a.String(), k.do(a))
	}
}

// restores reads a point back while others work.
func (m *model) restores() {
	a, ok := m.pick(m.points(func(want) bool { return true }))
	if !ok {
		return
	}
	m.busy[a] = true // nobody purges it meanwhile
	x := m.found().wants[a]
	m.spawn(&act{on: a}, "restore "+a.String(), func(ctx context.Context, w *world) error {
		return w.with(ctx, func(r *repo.Repository) error {
			is, err := x.stands(ctx, r, w.site, a)
			if err == nil && is != there {
				err = loss(a, "it is%s", is)
			}
			return err
		})
	})
}

// checks looks for damage while others work: there is none.
func (m *model) checks() {
	m.spawn(&act{}, "check", func(ctx context.Context, w *world) error {
		return w.with(ctx, func(r *repo.Repository) error { return (&recovery{w}).check(ctx, r) })
	})
}

func newModel(seed uint64) *model {
	m := &model{
		world: newWorld(memfs.New()), over: map[point.Attempt]bool{}, busy: map[point.Attempt]bool{},
		scheduler: &scheduler{rng: rand.New(rand.NewPCG(seed, 11))},
	}
	m.number = func() int {
		m.next++
		return m.next
	}
	return m
}

// try lives one history. Its trace is what happened, if it may not be.
func try(t *testing.T, seed uint64) {
	t.Helper()
	m := newModel(seed)
	if err := m.run(context.Background(), 1+m.rng.IntN(4)); err != nil {
		if isLoss(err) {
			totals.losses.Add(1)
		} else {
			totals.broken.Add(1)
		}
		t.Errorf("seed %d: %v\nkind %q\n%s", seed, err, errs.KindOf(err), strings.Join(m.trace, "\n"))
	}
	totals.random.Add(1)
	totals.steps.Add(int64(m.steps))
}

// Whatever order the calls of several writers, readers and killers come in, a point that was
// acknowledged restores.
func TestRandomHistoriesLoseNothing(t *testing.T) {
	histories := uint64(60)
	if *full {
		histories = 2000
	}
	for part := range uint64(4) {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			t.Parallel()
			for seed := part; seed < histories; seed += 4 {
				synctest.Test(t, func(t *testing.T) { try(t, seed+1) })
			}
		})
	}
}

// A seed that failed must fail again.
func TestTheSameSeedIsTheSameHistory(t *testing.T) {
	hashes := maphash.MakeSeed()
	for seed := range uint64(5) {
		var sums [2]uint64
		for i := range sums {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(seed + 1000)
				m.calls.SetSeed(hashes)
				if err := m.run(context.Background(), 2); err != nil {
					t.Error(err)
				}
				sums[i] = m.calls.Sum64()
			})
		}
		if sums[0] != sums[1] {
			t.Errorf("seed %d: the calls came in another order", seed)
		}
	}
}

// Soak tries random histories for as long as it is told to. It says which seed it began with,
// and at the first failure which seed failed: that one alone shows it again.
func TestSoak(t *testing.T) {
	if *soak == 0 {
		t.Skip("only with -soak")
	}
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 48)
	}
	fmt.Printf("soak: %s from seed %d\n", *soak, seed)
	for end := time.Now().Add(*soak); time.Now().Before(end) && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) { try(t, seed) })
	}
	fmt.Printf("soak: the last seed was %d\n", seed-1)
}
