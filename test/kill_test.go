package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// kills is how often each part is killed.
const kills = 10

// Kill -9 of each part at random moments of a backup. Afterwards the session says
// the truth, what says Completed restores, the next run works, and the repository
// is clean.
func TestKillAgent(t *testing.T) {
	t.Parallel()
	killOften(t, func(f *fleet) { f.agent["web1"].Kill(); f.must(f.agent["web1"].Start()) })
}

func TestKillMover(t *testing.T) {
	t.Parallel()
	killOften(t, func(f *fleet) {
		for _, m := range site.Movers(f.store) {
			m.Kill()
		}
	})
}

func TestKillTransport(t *testing.T) {
	t.Parallel()
	killOften(t, func(f *fleet) { f.store.Kill(); f.must(f.store.Start()) })
}

func TestKillServer(t *testing.T) {
	t.Parallel()
	killOften(t, func(f *fleet) { f.Server.Kill(); f.must(f.Server.Start()) })
}

// killOften runs a backup of new data, kills at a random moment of it and follows
// it to its end; again and again.
func killOften(t *testing.T, kill func(*fleet)) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 1500, killBytes, 1))
	f.createJob("docs", "web1", []string{src}, "--restart-interval", "1s")
	began := time.Now()
	f.run("docs")
	normal := time.Since(began)

	seed := killSeed(t)
	r := rand.New(rand.NewPCG(seed, 0))
	ended := map[string]int{}
	for i := range kills {
		// All content is new, so that every run has as much to do as the first.
		f.must(os.RemoveAll(src))
		f.must(site.RandomTree(src, 1500, killBytes, seed+uint64(i)+2))
		known := points(f)
		id := f.start("docs")
		time.Sleep(time.Duration(r.Int64N(int64(normal)))) // the random moment
		kill(f)
		s := f.final(id, "Completed", "Completed w/ warnings", "Failed")
		ended[s.Status]++
		settled(t, f, s, known, src)
	}
	t.Logf("a backup takes %s; after the kills: %v (seed %d)", normal.Round(time.Millisecond), ended, seed)
	if ended["Completed"] == 0 {
		t.Errorf("no session went on after its kill: %v", ended)
	}

	f.run("docs")
	same(t, src, below(f.restore("web1", "latest"), src))
	f.check()
}

// killBytes makes a backup long enough to be hit in all its phases.
const killBytes = 48 << 20

// settled checks that a session tells the truth: Completed means a new point that
// restores as the source is; anything else means that there is no new point.
func settled(t *testing.T, f *fleet, s *keepwardv1.Session, known map[string]bool, src string) {
	t.Helper()
	var made []string
	for id := range points(f) {
		if !known[id] {
			made = append(made, id)
		}
	}
	if s.Status == "Failed" {
		if len(made) != 0 {
			t.Errorf("session %d is Failed and left the points %v", s.Id, made)
		}
		if s.GetFailure().GetMessage() == "" {
			t.Errorf("session %d is Failed without a reason", s.Id)
		}
		return
	}
	if len(made) != 1 {
		t.Fatalf("session %d is %s and left the points %v, want one", s.Id, s.Status, made)
	}
	to := f.restore("web1", made[0])
	same(t, src, below(to, src))
	f.must(os.RemoveAll(to))
}

func points(f *fleet) map[string]bool {
	f.t.Helper()
	list, err := f.Points("web1")
	f.must(err)
	ids := map[string]bool{}
	for _, p := range list {
		ids[p.Id] = true
	}
	return ids
}

// killSeed is KEEPWARD_SEED, or new; a failed run's can be given again.
func killSeed(t *testing.T) uint64 {
	if v := os.Getenv("KEEPWARD_SEED"); v != "" {
		seed, err := strconv.ParseUint(v, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return seed
	}
	seed := rand.Uint64() >> 1
	t.Cleanup(func() {
		if t.Failed() {
			fmt.Printf("%s: KEEPWARD_SEED=%d takes the same moments\n", t.Name(), seed)
		}
	})
	return seed
}

// A mover outlives both the server and its transport, and what it commits meanwhile
// counts: after the restart the session is followed to its end, by the same attempt.
func TestMoverOutlivesServerAndTransport(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 3000, 200<<20, 7))
	f.createJob("docs", "web1", []string{src})
	id := f.start("docs")
	mover, err := site.WaitMover(f.store, sessionWithin)
	f.must(err)
	// From when its agent has come the mover needs nobody else.
	f.must(site.Until(sessionWithin, "the agent at its mover", func() (bool, error) {
		events, err := f.Events(id)
		return slices.ContainsFunc(events, func(e *keepwardv1.Event) bool { return e.Part == "mover" }), err
	}))
	f.must(site.Until(sessionWithin, "bytes on their way", func() (bool, error) {
		s, err := f.Session(id)
		return s.GetProgress().GetCounters().GetSentBytes() > 0, err
	}))
	f.Server.Kill()
	f.store.Kill()
	if !mover.Alive() {
		t.Fatal("the mover died with its transport")
	}
	f.must(site.Until(sessionWithin, "end of the mover", func() (bool, error) { return !mover.Alive(), nil }))
	f.must(f.Server.Start())
	f.must(f.store.Start())
	s := f.final(id, "Completed")
	if n := len(s.Tasks); n != 1 || s.Tasks[0].Attempt != 1 {
		t.Errorf("the session needed another attempt: %v", s.Tasks)
	}
	same(t, src, below(f.restore("web1", "latest"), src))
}
