package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/repo/point"
	"keepward/test/site"
)

// These tests cut computers off: real processes, each role in a network namespace of its own.
// They mostly wait, so they run beside one another.

// unverified is what a task is whose computer has not been heard of for three heartbeats.
const unverified = "Running (cannot be verified)"

func TestAgentCutOff(t *testing.T)  { agentCutOff(newSpread(t, quick)) }
func TestMoverCutOff(t *testing.T)  { moverCutOff(newSpread(t, quick)) }
func TestServerCutOff(t *testing.T) { serverCutOff(newSpread(t, quick)) }
func TestAFencedMoverIsRefused(t *testing.T) {
	fencedMover(newSpread(t, quick.uninterrupted(3)))
}

// The same with the times that a site has when nobody changes them.
func TestCutOffsAtTheDefaultPace(t *testing.T) {
	if os.Getenv("KEEPWARD_LONG") == "" {
		leaveOut(t, "takes minutes, and 7 GB: set KEEPWARD_LONG=1")
	}
	for name, test := range map[string]func(*spread){"agent": agentCutOff, "mover": moverCutOff, "server": serverCutOff} {
		t.Run(name, func(t *testing.T) { test(newSpread(t, normal)) })
	}
	t.Run("fenced mover", func(t *testing.T) { fencedMover(newSpread(t, normal.uninterrupted(1))) })
}

// The computer that is backed up is cut off for longer than its lease: the mover ends without a
// point, the task waits, and goes on when the computer is back.
func agentCutOff(f *spread) {
	id := f.startSlowly()
	f.must(f.net.CutOff("web1"))
	f.was(id, unverified)
	f.was(id, "Pending")
	f.until("end of the mover", func() bool { return len(site.Movers(f.store)) == 0 })
	s, err := f.Session(id)
	f.must(err)
	if s.GetTasks()[0].GetReason().GetText() == "" {
		f.t.Errorf("it waits for no reason: %v", s)
	}
	f.must(f.net.Slow("web1", 0))
	f.must(f.net.Heal())
	f.onePoint(f.ended(id))
	f.wentThrough(id, "Running", unverified, "Cleanup", "Pending", "Waiting", "Running", "Completed")
}

// The repository's host is cut off: nobody can say what became of its mover, so no second
// attempt begins until it is back and the first is settled.
func moverCutOff(f *spread) {
	id := f.startSlowly()
	f.must(f.net.CutOff("store"))
	f.was(id, unverified)
	f.was(id, "Pending")
	if s, err := f.Session(id); err != nil || s.GetTasks()[0].GetAttempt() != 1 {
		f.t.Errorf("a second attempt began before the first was settled: %v (%v)", s, err)
	}
	f.must(f.net.Slow("web1", 0))
	f.must(f.net.Heal())
	f.onePoint(f.ended(id))
	f.wentThrough(id, "Running", unverified, "Cleanup", "Pending", "Waiting", "Running", "Completed")
}

// The server is cut off: agent and mover go on without it, and what they commit meanwhile counts
// when they can tell it.
func serverCutOff(f *spread) {
	id := f.startSlowly()
	f.must(f.net.CutOff("server"))
	f.must(f.net.Slow("web1", 0))
	f.was(id, unverified)
	f.until("end of the mover", func() bool { return len(site.Movers(f.store)) == 0 })
	if len(points(f.fleet)) != 0 {
		f.t.Error("the server knows a point that nobody could tell it of")
	}
	f.must(f.net.Heal())
	s := f.ended(id)
	if k := s.GetTasks()[0]; k.GetAttempt() != 1 {
		f.t.Errorf("it took %d attempts:\n%s", k.GetAttempt(), f.sessionLog(id))
	}
	f.onePoint(s)
	f.wentThrough(id, "Running", unverified, "Completed")
}

// The server has lost agent and mover, which still have each other. Another host has the
// repository's disks and takes the place of the lost one, so that the server can settle the attempt.
// The mover, which nobody could stop, comes to its end and commits: too late.
func fencedMover(f *spread) {
	id := f.startSlowly()
	f.must(f.net.Part("server", "web1"))
	f.must(f.net.Part("server", "store"))
	f.was(id, unverified)
	lost := f.store
	p, err := f.Replace(lost)
	f.must(err)
	f.was(id, "Pending")
	attempt := site.Movers(lost)[0].Attempt
	f.until("tombstone of the attempt", func() bool { return hasTombstone(f.t, f.repo, attempt) })
	if len(site.Movers(lost)) == 0 {
		f.t.Fatal("the mover has ended before it could commit")
	}
	f.must(f.net.Slow("web1", 0))
	f.until("end of the mover", func() bool { return len(site.Movers(lost)) == 0 })
	// It is the mover that refuses; the agent may hear of it later, or not at all.
	f.until("refusal of the commit", func() bool {
		return strings.Contains(lost.Log(), "commit restore point "+attempt+": commit attempt "+attempt+": it was cut off")
	})
	if made := points(f.fleet); len(made) != 0 {
		f.t.Errorf("there are the points %v", made)
	}
	lost.Kill() // there can be one of its name
	f.store = p
	f.must(f.net.Heal())
	s := f.ended(id)
	if k := s.GetTasks()[0]; k.GetPoint() == attempt {
		f.t.Errorf("the point is that of the attempt that was cut off: %v", s)
	}
	f.onePoint(s)
	f.wentThrough(id, "Running", unverified, "Cleanup", "Pending", "Waiting", "Running", "Completed")
}

// hasTombstone tells whether a repository has cut an attempt off.
func hasTombstone(t testing.TB, repo, attempt string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repo, "points", "*", attempt+"*"))
	must(t, err)
	flat, err := filepath.Glob(filepath.Join(repo, "points", attempt+"*"))
	must(t, err)
	for _, name := range append(files, flat...) {
		b, err := os.ReadFile(name)
		must(t, err)
		if p, err := point.Parse(b); err == nil && p.Type == point.Tombstone {
			return true
		}
	}
	return false
}
