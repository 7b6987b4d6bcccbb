package sim

import (
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

var (
	seeds = flag.Int("seeds", 200, "how many sites are run")
	first = flag.Uint64("seed", 1, "the first of them")
	long  = flag.Int("steps", 60, "steps of a site before everything is mended")
)

// TestSites runs a site for every seed.
func TestSites(t *testing.T) {
	var mu sync.Mutex
	var sum counts
	t.Run("seed", func(t *testing.T) {
		for i := range *seeds {
			seed := *first + uint64(i)
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				inSite(t, seed, func(s *site) {
					s.live(*long)
					s.settle()
					mu.Lock()
					defer mu.Unlock()
					sum.add(s.count)
				})
			})
		}
	})
	fmt.Printf("%d sites from seed %d: %d sessions, %d checks, %d crashes, %d messages lost, %d interruptions, %d kills, %d partial, %d followed another, %d retries, %d stray reservations, %d installations\n",
		*seeds, *first, sum.sessions, sum.steps, sum.crashes, sum.lost, sum.interruptions, sum.kills, sum.partial, sum.chained, sum.retries, sum.strays, sum.installs)
}

// move is something that may happen, and how often against the others.
type move struct {
	weight int
	do     func(s *site)
}

var moves = []move{
	{16, (*site).someSession},
	{26, (*site).someMessage},
	{16, (*site).someEnd},
	{12, (*site).someReports},
	{3, (*site).someFailure},
	{14, (*site).someTime},
	{3, (*site).someLink},
	{2, (*site).someDeath},
	{2, (*site).serverDies},
	{4, (*site).someUser},
	{3, (*site).someOutage},
	{4, (*site).someRule},
	{1, (*site).clockJumps},
	{3, (*site).someChained},
	{2, (*site).someUpdate},
	{3, (*site).someRefusal},
	{2, (*site).someStray},
	{2, (*site).someSilence},
	{2, (*site).someCut},
}

// live lets a site live for some steps. What is broken is mended by chance, if at all.
func (s *site) live(steps int) {
	s.net.setDirect(false)
	s.startJobs()
	s.unquiet = true
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	for range steps {
		n := s.rnd.IntN(total)
		for _, m := range moves {
			if n -= m.weight; n < 0 {
				m.do(s)
				break
			}
		}
		s.check()
	}
}

// busy are kinds that come more often: they want the two streams of one repository, and some may
// interrupt others.
var busy = slices.DeleteFunc(kinds(), func(k kind) bool {
	return k.tape || !slices.Contains([]job.Type{job.Backup, job.Restore, job.RestoreSearch, job.Verify, job.Sweep, job.Reconcile, job.Copy}, k.typ)
})

// most is how many sessions there are at once.
const most = 10

func (s *site) someSession() {
	if active := s.activeIDs(); len(active) >= most {
		return
	}
	all := kinds()
	if s.rnd.IntN(2) == 0 {
		all = busy
	}
	k := all[s.rnd.IntN(len(all))]
	p := placesOfKind(k, s.rnd.IntN)
	on := []string{""}
	if k.agents {
		on = s.someComputers()
		if k.typ == job.Restore {
			on = on[:1]
		}
	}
	var at time.Time
	if s.rnd.IntN(12) == 0 {
		at = time.Now().Add(time.Duration(s.rnd.IntN(60)) * time.Minute)
	}
	s.submitAt(at, k, p, on...)
}

func (s *site) someComputers() (list []string) {
	n := 1 + s.rnd.IntN(2)
	for _, i := range s.rnd.Perm(len(computers))[:n] {
		list = append(list, computers[i])
	}
	return list
}

func (s *site) activeIDs() []int64 {
	var list []int64
	for id, k := range s.known {
		if !k.over {
			list = append(list, id)
		}
	}
	slices.Sort(list)
	return list
}

func (s *site) someMessage() {
	for range 1 + s.rnd.IntN(4) {
		list := s.net.list()
		if len(list) == 0 {
			return
		}
		how := delivered
		switch n := s.rnd.IntN(20); n {
		case 0:
			how = lost
		case 1:
			how = answerLost
		case 2:
			how = twice
		}
		m := list[s.rnd.IntN(len(list))]
		s.note("%s for session %d to %s: %d", m.what, m.session, m.to, how)
		s.net.deliver(m, how)
	}
}

// someAttempt chooses an attempt that a node works on.
func (s *site) someAttempt() (*node, string, bool) {
	type one struct {
		n  *node
		id string
	}
	var all []one
	for _, n := range s.sorted() {
		for _, id := range n.attempts() {
			all = append(all, one{n, id})
		}
	}
	if len(all) == 0 {
		return nil, "", false
	}
	o := all[s.rnd.IntN(len(all))]
	return o.n, o.id, true
}

func (s *site) someEnd() {
	if n, id, ok := s.someAttempt(); ok {
		s.finish(n, id, nil)
		s.startAnew(n)
	}
}

// someFailure ends an attempt badly: mostly in a way that a new attempt may mend.
func (s *site) someFailure() {
	n, id, ok := s.someAttempt()
	if !ok {
		return
	}
	kind := errs.Unavailable
	if s.rnd.IntN(6) == 0 {
		kind = errs.Denied
		s.known[n.work[id].session].spoiled = true
	}
	s.finish(n, id, &keepwardv1.Failure{Kind: string(kind), Message: "the seed has it so"})
}

func (s *site) someReports() {
	for _, n := range s.sorted() {
		if s.rnd.IntN(2) == 0 {
			s.report(n, s.rnd.IntN(8) == 0)
		}
	}
}

func (s *site) someTime() {
	d := []time.Duration{time.Second, 20 * time.Second, time.Minute, 4 * time.Minute, 21 * time.Minute}[s.rnd.IntN(5)]
	s.note("%v pass", d)
	s.pass(d)
}

func (s *site) someNode() *node {
	list := s.sorted()
	return list[s.rnd.IntN(len(list))]
}

func (s *site) someLink() {
	n := s.someNode()
	s.note("%s: link %v", n, !n.online)
	if n.online {
		s.down(n)
	} else {
		s.up(n)
	}
}

func (s *site) someDeath() {
	n := s.someNode()
	s.note("%s dies", n)
	s.die(n)
	if s.rnd.IntN(3) > 0 {
		s.up(n)
	}
}

func (s *site) serverDies() {
	away := time.Duration(0)
	if s.rnd.IntN(4) == 0 {
		away = time.Duration(s.rnd.IntN(150)) * time.Minute
	}
	s.note("the server dies, and is away for %v", away)
	s.crashFor(away)
	for _, n := range s.sorted() {
		if s.rnd.IntN(4) > 0 {
			s.up(n)
		}
	}
}

func (s *site) someUser() {
	list := s.activeIDs()
	if len(list) == 0 {
		return
	}
	id := list[s.rnd.IntN(len(list))]
	switch s.rnd.IntN(6) {
	case 0:
		s.suspend(id)
	case 3:
		s.killSession(id)
	case 1:
		if s.known[id].typ == job.Backup {
			s.commitSession(id)
		} else {
			s.killSession(id)
		}
	case 2:
		s.prioritise(id, s.rnd.IntN(1000))
	default:
		s.resume(id)
	}
}

func (s *site) someOutage() {
	s.mu.Lock()
	if s.rnd.IntN(2) == 0 {
		s.tape.mend()
		s.note("the library is mended")
	} else {
		o := outages[s.rnd.IntN(len(outages))]
		s.tape.set(o.id, &o.reason)
		s.note("%s", o.reason.Text())
	}
	s.mu.Unlock()
	s.changed()
}

// clockJumps sets the server's clock: nothing may be deleted by it, and nothing may hang on it.
func (s *site) clockJumps() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jump = time.Duration(s.rnd.IntN(200)-100) * time.Hour
	s.note("the server's clock jumps by %v", s.jump)
}

// mendAll puts everything right: nodes, network, library, clock; and nobody pauses any more.
func (s *site) mendAll() {
	s.mu.Lock()
	s.tape.mend()
	s.jump = 0
	s.mu.Unlock()
	s.unquiet = false
	s.changed()
	s.noRules()
	s.stopJobs()
	s.net.setDirect(true)
	s.connectAll()
	synctest.Wait()
}

// rounds bounds how long a site may take in the end: a session may have to wait for two days of
// tries of another, or for restarts.
const rounds = 400

// settle mends everything; then every session must end, and as it should.
func (s *site) settle() {
	s.t.Helper()
	s.note("all is mended")
	s.mendAll()
	for range rounds {
		for _, id := range s.activeIDs() {
			if s.status(id) == job.Suspended {
				s.resume(id)
			}
		}
		did := s.workAll()
		s.check()
		if len(s.activeIDs()) == 0 && !s.retriesAhead() {
			break
		}
		if did {
			s.pass(beatEvery)
		} else {
			s.pass(2 * time.Minute)
		}
	}
	for _, id := range s.activeIDs() {
		s.t.Errorf("session %d (%s) is still %s: %s\n%s", id, s.known[id].typ, s.status(id), s.session(id).GetReason().GetText(), s.log(id))
	}
	if s.t.Failed() {
		s.fail("not everything ends")
	}
	s.checkEnds()
}

// checkEnds looks at lives that are over: no move that the tables do not have, victims came back,
// and what nobody spoiled has not failed for good.
func (s *site) checkEnds() {
	s.t.Helper()
	for id, k := range s.known {
		interrupted := false
		for _, e := range s.events(id) {
			if e.GetCode() == "internal.move" {
				s.fail("session %d (%s): %s\n%s", id, k.typ, e.GetText(), s.log(id))
			}
			if job.Status(e.GetTo()) == job.Interrupted {
				interrupted = true
				s.count.interruptions++
			}
		}
		phase, _ := k.typ.Phase(k.typ.MainPhase())
		status := s.status(id)
		if status == job.Committed {
			s.count.partial++
		}
		switch {
		case k.spoiled || s.timed || !phase.Restartable && !interrupted:
		case !status.LeftResult():
			s.fail("session %d (%s), which nobody spoiled, is %s: %s\n%s", id, k.typ, status, s.session(id).GetFailure().GetMessage(), s.log(id))
		}
	}
}
