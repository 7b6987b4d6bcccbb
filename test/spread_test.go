package test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// spread is a fleet with each role on a computer of its own, in a network that can be cut and
// slowed down, and a job "docs" for one large file of "web1".
type spread struct {
	*fleet
	net *site.Network
	pace
	src string
}

// pace is how fast a site finds out what is lost, and how long a backup takes meanwhile.
type pace struct {
	heartbeat, checkpoint string // flags; empty: the defaults
	size                  int64  // of the large file
	mbit                  int    // of the slow line
	noticed               time.Duration
	alone                 bool // no other test beside it: speeds are measured
}

var (
	// quick has a connection dead after 3 s, and dialled again for 4; the file takes half a
	// minute over the slow line.
	quick = pace{heartbeat: "1s", checkpoint: "1s", size: 48 << 20, mbit: 13, noticed: 3 * time.Minute}
	// normal has it dead after 45 s, dialled again for a minute, and the file takes a minute and
	// a half.
	normal = pace{size: 560 << 20, mbit: 56, noticed: 8 * time.Minute}
)

// uninterrupted is the pace of a backup that has no checkpoints and fits into one pack, so that it
// is its commit that finds out that it was cut off. The line is slow from the beginning: to make one
// slower that is full loses so much at once that the connection may be silent for too long.
func (p pace) uninterrupted(mbit int) pace {
	p.checkpoint, p.size, p.mbit = "1h", 48<<20, mbit
	return p
}

// newSpread starts a site on a network.
func newSpread(t *testing.T, p pace) *spread {
	t.Helper()
	needRoot(t)
	needPrograms(t, "ip", "tc", "mount")
	if !p.alone {
		t.Parallel()
	}
	dir := tempDir(t)
	n, err := site.NewNetwork()
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	var server, agent []string
	if p.heartbeat != "" {
		server = []string{"--heartbeat", p.heartbeat}
	}
	if p.checkpoint != "" {
		agent = []string{"--checkpoint-every", p.checkpoint}
	}
	s, err := site.StartOn(binary, filepath.Join(dir, "site"), n, server...)
	must(t, err)
	f := &spread{fleet: &fleet{Site: s, t: t, agent: map[string]*site.Proc{}}, net: n, pace: p, src: filepath.Join(dir, "src")}
	t.Cleanup(f.end)
	f.AgentArgs = agent
	f.addTransport("store")
	f.addAgent("web1")
	f.createRepository("main", filepath.Join(f.Dir, "repository"))
	f.must(os.MkdirAll(f.src, 0o755))
	f.must(largeFile(filepath.Join(f.src, "disk.img"), p.size))
	f.createJob("docs", "web1", []string{f.src}, "--restart-interval", "1s")
	return f
}

// until asks four times a second: a question is some processes, and several tests ask at once.
func (f *spread) until(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(f.noticed); !ok(); time.Sleep(250 * time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("no %s within %s", what, f.noticed)
		}
	}
}

// logs waits until a session's log has so many lines of a code.
func (f *spread) logs(id int64, code string, n int) {
	f.t.Helper()
	f.until(code+" in the log", func() bool {
		return len(slices.DeleteFunc(f.eventsOf(id), func(e *keepwardv1.Event) bool { return e.GetCode() != code })) >= n
	})
}

// was waits until a session's task has been in a status.
func (f *spread) was(id int64, status string) {
	f.t.Helper()
	f.until("status "+status, func() bool { return slices.Contains(f.statusesOf(id), status) })
}

// startSlowly starts the job over a slow line and waits until something was sent.
func (f *spread) startSlowly() int64 {
	f.t.Helper()
	f.must(f.net.Slow("web1", f.mbit))
	id := f.start("docs")
	f.until("bytes sent", func() bool { return f.counters(id).GetSentBytes() > 1<<20 })
	return id
}

func (f *spread) counters(id int64) *keepwardv1.Counters {
	f.t.Helper()
	s, err := f.Session(id)
	f.must(err)
	if s.GetEnded() != nil {
		f.t.Fatalf("the backup has ended already:\n%s", f.sessionLog(id))
	}
	return s.GetProgress().GetCounters()
}

// ended waits for the end of a session that must be completed.
func (f *spread) ended(id int64) *keepwardv1.Session {
	f.t.Helper()
	var s *keepwardv1.Session
	f.until("end of the session", func() (done bool) {
		var err error
		s, err = f.Session(id)
		f.must(err)
		return s.GetEnded() != nil
	})
	f.isOneOf(s, []string{"Completed", "Completed w/ warnings"})
	return s
}

// wentThrough checks that a session's task had these statuses one after the other, possibly with
// others between.
func (f *spread) wentThrough(id int64, want ...string) {
	f.t.Helper()
	got, rest := f.statusesOf(id), want
	for _, s := range got {
		if len(rest) > 0 && s == rest[0] {
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		f.t.Errorf("it went through %q; %q did not follow", got, rest)
	}
}

// onePoint checks that a session has left one point, which is what was backed up.
func (f *spread) onePoint(s *keepwardv1.Session) {
	f.t.Helper()
	k := s.GetTasks()[0]
	if made := points(f.fleet); len(made) != 1 || !made[k.GetPoint()] {
		f.t.Errorf("there are the points %v, want %s alone", made, k.GetPoint())
	}
	to := f.restore("web1", "latest")
	same(f.t, f.src, below(to, f.src))
	f.must(os.RemoveAll(to))
	f.check()
}
