package test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// These tests have a firewall between all computers that lets connections begin in one direction
// only: real processes, each in a network namespace of its own.

// newWalled starts a server and a transport "store" on a network.
func newWalled(t *testing.T) *spread {
	t.Helper()
	needRoot(t)
	needPrograms(t, "ip", "tc", "mount", "nft")
	t.Parallel()
	dir := tempDir(t)
	n, err := site.NewNetwork()
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	s, err := site.StartOn(binary, filepath.Join(dir, "site"), n, "--heartbeat", "1s")
	must(t, err)
	f := &spread{fleet: &fleet{Site: s, t: t, agent: map[string]*site.Proc{}}, net: n, pace: quick, src: filepath.Join(dir, "src")}
	t.Cleanup(f.end)
	f.AgentArgs = []string{"--checkpoint-every", "1s", "--listen", ":7482"}
	f.must(os.MkdirAll(f.src, 0o755))
	f.must(largeFile(filepath.Join(f.src, "disk.img"), 8<<20))
	f.addTransport("store")
	f.createRepository("main", filepath.Join(f.Dir, "repository"))
	return f
}

// setUp is one way of reaching a computer.
type setUp struct {
	name          string
	control, data string
	six           bool // by IPv6
	ways          []site.Way
}

var setUps = []setUp{
	{"aa", "agent", "agent", false, []site.Way{{From: "aa", To: "server"}, {From: "aa", To: "store"}}},
	{"am", "agent", "mover", false, []site.Way{{From: "am", To: "server"}, {From: "store", To: "am"}}},
	{"sa", "server", "agent", false, []site.Way{{From: "server", To: "sa"}, {From: "sa", To: "store"}}},
	{"sm", "server", "mover", false, []site.Way{{From: "server", To: "sm"}, {From: "store", To: "sm"}}},
	{"six", "server", "mover", true, []site.Way{{From: "server", To: "six"}, {From: "store", To: "six"}}},
}

// wall lets begin what the set-ups need, and nothing else.
func (f *spread) wall(list ...setUp) {
	f.t.Helper()
	ways := []site.Way{{From: "store", To: "server"}}
	for _, u := range list {
		ways = append(ways, u.ways...)
	}
	f.must(f.net.DialsOnly(ways...))
}

// enrol joins or pairs the agent of a set-up through the wall.
func (f *spread) enrol(u setUp) {
	f.t.Helper()
	var err error
	if u.control == "agent" {
		f.agent[u.name], err = f.AddAgent(u.name)
		f.must(err)
		if u.data == "mover" {
			f.do("computer", "edit", u.name, "--data", "mover")
		}
		return
	}
	address := ""
	if u.six {
		address = "[" + f.net.Address6(u.name) + "]:7482"
	}
	f.agent[u.name], err = f.Pair(u.name, address, "--data", u.data)
	f.must(err)
}

// Backup, restore and enrolment in all four set-ups, and by IPv6; then the test of connections says of
// each what is so.
func TestEveryWayOfDialling(t *testing.T) {
	f := newWalled(t)
	f.do("setting", "set", "data_connections", "3")
	// The computers are made before the wall, whose rules name their networks.
	for _, u := range setUps {
		f.must(f.AddHost(u.name))
	}
	f.wall(setUps...)
	for _, u := range setUps {
		f.enrol(u)
		f.createJob("docs-"+u.name, u.name, []string{f.src})
	}
	sessions := map[string]int64{}
	for _, u := range setUps {
		sessions[u.name] = f.start("docs-" + u.name)
	}
	for _, u := range setUps {
		f.final(sessions[u.name], "Completed")
		f.dialled(sessions[u.name], u)
		if log := f.do("session", "log", sessionText(sessions[u.name])).Stdout; !strings.Contains(log, "over 3 connections") {
			t.Errorf("%s: the log does not say over how many connections it ran:\n%s", u.name, log)
		}
	}
	for _, u := range setUps {
		to := f.restore(u.name, "latest")
		same(t, f.src, filepath.Join(to, f.src))
		var restored keepwardv1.ListSessionsResponse
		f.must(f.Message(&restored, "session", "list", "--type", "restore", "--limit", "1"))
		f.dialled(restored.GetSessions()[0].GetId(), u)
	}
	var looks sync.WaitGroup // they wait for what does not answer
	for _, u := range setUps {
		looks.Go(func() { f.tested(u) })
	}
	looks.Wait()
}

// dialled checks that the log of a session names who dialled.
func (f *spread) dialled(id int64, u setUp) {
	f.t.Helper()
	want := "the agent dialled the mover at "
	if u.data == "mover" {
		want = "the mover dialled the agent, from "
	}
	log := f.sessionLog(id)
	if !strings.Contains(log, want) || !strings.Contains(log, "the control connection was dialled by the "+u.control) {
		f.t.Errorf("%s: the log of session %d does not say who dialled:\n%s", u.name, id, log)
	}
}

// tested checks what connect-test says of a set-up: its own ways work, the others do not.
func (f *spread) tested(u setUp) {
	f.t.Helper()
	var m keepwardv1.TestConnectionResponse
	if err := f.Message(&m, "computer", "connect-test", u.name); err != nil {
		f.t.Error(err)
		return
	}
	if !m.GetWorks() {
		f.t.Errorf("%s: it works, but the test says otherwise: %v", u.name, &m)
	}
	for _, c := range m.GetChecks() {
		if c.GetUsed() != (c.GetResult() == "works") {
			f.t.Errorf("%s: %v", u.name, c)
		}
		if c.GetResult() != "works" && c.GetFailure().GetMessage() == "" {
			f.t.Errorf("%s: no reason: %v", u.name, c)
		}
	}
}

// Neither end may dial the other: the session fails in bounded time, and says what to do.
func TestBothWaysClosed(t *testing.T) {
	f := newWalled(t)
	f.must(f.AddHost("shut"))
	f.must(f.AddHost("dead"))
	control := setUp{"shut", "agent", "agent", false, []site.Way{{From: "shut", To: "server"}}}
	f.wall(control)
	f.enrol(control)
	f.createJob("docs", "shut", []string{f.src}, "--attempts", "1")
	for data, want := range map[string][]string{
		"agent": {"did not connect", "connect-test"},
		"mover": {"could not reach the agent of shut", "connect-test"},
	} {
		f.do("computer", "edit", "shut", "--data", data)
		began := time.Now()
		s := f.final(f.start("docs"), "Failed")
		if took := time.Since(began); took > time.Minute {
			t.Errorf("data by the %s: it took %s to fail", data, took)
		}
		for _, w := range want {
			if got := s.GetFailure().GetMessage() + s.GetFailure().GetHint() + f.sessionLog(s.GetId()); !strings.Contains(got, w) {
				t.Errorf("data by the %s: it says nothing of %q: %v\n%s", data, w, s.GetFailure(), got)
			}
		}
	}
	// Control is closed, too: to pair fails in bounded time, and nothing is left of it.
	p, err := f.Waiting("dead")
	f.must(err)
	began := time.Now()
	f.fails(1, []string{"connect to the waiting agent at"}, "computer", "add", "dead", "--control", "server",
		"--address", f.net.Address("dead"), "--code-file", filepath.Join(p.DataDir, "pairing-code"))
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s to find out", took)
	}
	f.fails(4, []string{"dead"}, "computer", "show", "dead")
}

// A connection is lost, and dialled again by the end that may: during a backup, control and data at
// once. Then the computer gets another address.
func TestLostAndDialledAgain(t *testing.T) {
	f := newWalled(t)
	f.must(largeFile(filepath.Join(f.src, "disk.img"), 24<<20))
	both := []setUp{setUps[1], setUps[3]} // control by each end, data by the mover
	for _, u := range both {
		f.must(f.AddHost(u.name))
	}
	f.wall(both...)
	running := map[string]int64{}
	for _, u := range both {
		f.enrol(u)
		f.createJob("docs-"+u.name, u.name, []string{f.src}, "--restart-interval", "1s")
		f.must(f.net.Slow(u.name, 30))
		running[u.name] = f.start("docs-" + u.name)
	}
	for _, u := range both {
		id := running[u.name]
		f.until("bytes sent", func() bool { return f.counters(id).GetSentBytes() > 1<<20 })
		mend, err := f.net.Break(u.name)
		f.must(err)
		f.until("link lost", func() bool { return strings.Contains(f.agent[u.name].Log(), "no link to the server") })
		f.must(mend())
		f.must(f.net.Slow(u.name, 0))
	}
	for _, u := range both {
		s := f.ended(running[u.name])
		if k := s.GetTasks()[0]; k.GetAttempt() != 1 {
			t.Errorf("%s: it took %d attempts:\n%s", u.name, k.GetAttempt(), f.sessionLog(s.GetId()))
		}
		again := slices.DeleteFunc(f.eventsOf(s.GetId()), func(e *keepwardv1.Event) bool {
			return e.GetCode() != "data.connected" || !strings.Contains(e.GetText(), "the mover dialled the agent") || !strings.Contains(e.GetText(), "again")
		})
		if len(again) == 0 {
			t.Errorf("%s: the log does not say that the mover dialled again:\n%s", u.name, f.sessionLog(s.GetId()))
		}
	}
	// Where the agent dials, its address is learned from its link.
	f.must(f.net.Move("am", "7"))
	var c keepwardv1.GetComputerResponse
	f.until("link from the new address", func() bool {
		f.must(f.Message(&c, "computer", "show", "am"))
		return c.GetComputer().GetStatus() == "online" && !strings.HasPrefix(c.GetComputer().GetAddress(), f.net.Address("am")+":")
	})
	f.dialled(f.ended(f.start("docs-am")).GetId(), both[0])
}
