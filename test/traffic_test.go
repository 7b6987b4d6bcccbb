package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
)

// shaped is a site whose second computer sends as much as the first.
var shaped = pace{heartbeat: "1s", size: 128 << 20, noticed: time.Minute, alone: true}

// Two backups and a restore under a traffic rule that is edited meanwhile. What the computers send is
// read from their network interfaces.
func TestTrafficRule(t *testing.T) {
	f := newSpread(t, shaped)
	f.addAgent("web2")
	second := filepath.Join(f.Dir, "second")
	f.must(os.MkdirAll(second, 0o755))
	f.must(largeFile(filepath.Join(second, "disk.img"), f.size+1<<20)) // another content
	f.createJob("more", "web2", []string{second}, "--connections", "4")

	r := f.do("traffic", "set", "line", "--source", "10.77.0.0/16", "--target", f.net.Address("store"), "--source", "192.0.2.0/24", "--limit", "40Mbit/s")
	if !strings.Contains(r.Stderr, "192.0.2.0/24") || strings.Contains(r.Stderr, "10.77.0.0/16") {
		t.Errorf("the range in which nobody is is not warned of, or another is: %s", r.Stderr)
	}
	a := f.start("docs")
	f.moves(a)
	f.sends("one alone", 3*time.Second, map[string]float64{"web1": 40})
	b := f.start("more")
	f.moves(b)
	f.sends("two", 4*time.Second, map[string]float64{"web1": 20, "web2": 20})
	if log := f.do("session", "log", sessionText(b)).Stdout; !strings.Contains(log, "over 4 connections") {
		t.Errorf("the log does not say over how many connections the second runs:\n%s", log)
	}
	f.heldTo(a, "line", 20)

	f.do("traffic", "set", "line", "--limit", "10MB/s")
	time.Sleep(500 * time.Millisecond) // what was on its way
	f.sends("two, after the rule was edited", 3*time.Second, map[string]float64{"web1": 40, "web2": 40})
	f.do("session", "kill", sessionText(b))
	f.final(b, "Killed")
	time.Sleep(500 * time.Millisecond)
	f.sends("the other alone", 2*time.Second, map[string]float64{"web1": 80})
	f.movedLately("line")
	f.do("traffic", "delete", "line")
	s := f.final(a, "Completed")
	if s.GetLimits().GetNetwork() < 50 {
		t.Errorf("the network limited it by %d%%, want most: %v", s.GetLimits().GetNetwork(), s.GetLimits())
	}

	f.do("traffic", "set", "line", "--limit", "8Mbit/s") // the restore would take two minutes
	began := time.Now()
	f.restore("web1", "latest", "--path", f.src)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("a restore of %d bytes took %s under a rule of which it is exempt", f.size, took)
	}
}

// movedLately looks at what the server noted of the last minutes: all that moves is under the rule; first within its limit of
// 40 Mbit/s, later with more, never with more than the 80 of then.
func (f *spread) movedLately(rule string) {
	f.t.Helper()
	var m keepwardv1.ListTrafficRulesResponse
	f.must(protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal([]byte(f.do("traffic", "list", "-o", "json").Stdout), &m))
	all := m.GetRecentBytesPerSecond()
	if len(m.GetRules()) != 1 || m.GetRules()[0].GetName() != rule || m.GetRecentEvery().AsDuration() != 5*time.Second || time.Since(m.GetRecentUntil().AsTime()) > 10*time.Second {
		f.t.Fatalf("there is %v", &m)
	}
	under := m.GetRules()[0].GetRecentBytesPerSecond()
	if len(all) < 2 || len(under) != len(all) {
		f.t.Fatalf("all tasks moved %v, those under the rule %v", all, under)
	}
	if first := float64(all[0]) * 8 / 1e6; first < 8 || first > 46 {
		f.t.Errorf("at first all tasks moved %.1f Mbit/s under a limit of 40", first)
	}
	fast := false
	for i, n := range all {
		mbit := float64(n) * 8 / 1e6
		fast = fast || mbit > 48
		if mbit > 92 || under[i] != n {
			f.t.Errorf("at moment %d all tasks moved %.1f Mbit/s, and %.1f under the rule that is about all", i, mbit, float64(under[i])*8/1e6)
		}
	}
	if !fast {
		f.t.Errorf("that the limit was raised to 80 Mbit/s is not seen in %v", all)
	}
}

func sessionText(id int64) string { return strconv.FormatInt(id, 10) }

// moves waits until a session's task has sent enough to be at its pace.
func (f *spread) moves(id int64) {
	f.t.Helper()
	f.until("data of the session", func() bool { return f.counters(id).GetSentBytes() > 3<<20 })
}

// sends compares what computers send over a time with Mbit a second, within a tenth.
func (f *spread) sends(what string, over time.Duration, want map[string]float64) {
	f.t.Helper()
	before := map[string]int64{}
	for host := range want {
		n, err := f.net.Sent(host)
		f.must(err)
		before[host] = n
	}
	began := time.Now()
	time.Sleep(over)
	for host, mbit := range want {
		n, err := f.net.Sent(host)
		f.must(err)
		got := float64(n-before[host]) * 8 / 1e6 / time.Since(began).Seconds()
		f.t.Logf("%s: %s sends %.1f Mbit/s", what, host, got)
		if got < mbit*0.9 || got > mbit*1.1 {
			f.t.Errorf("%s: %s sends %.1f Mbit/s, want %.0f within a tenth", what, host, got, mbit)
		}
	}
}

// heldTo looks at what bounds a session's task.
func (f *spread) heldTo(id int64, rule string, mbit int64) {
	f.t.Helper()
	s, err := f.Session(id)
	f.must(err)
	if r := s.GetTasks()[0].GetRate(); r.GetRule() != rule || r.GetNetwork() < mbit*1e6/8*9/10 || r.GetNetwork() > mbit*1e6/8*11/10 {
		f.t.Errorf("session %d is held to %v, want %d Mbit/s by %s", id, r, mbit, rule)
	}
	if r := f.do("session", "show", sessionText(id)); !strings.Contains(r.Stdout, "traffic rule "+rule) {
		f.t.Errorf("its session does not show the rule:\n%s", r.Stdout)
	}
	m := &keepwardv1.TrafficRule{}
	f.must(f.Message(m, "traffic", "show", rule))
	if len(m.GetTasks()) != 2 || !m.GetHolds() {
		f.t.Errorf("the rule shows %v", m)
	}
}
