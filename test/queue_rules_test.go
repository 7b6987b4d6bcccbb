package test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keepward/test/site"
)

// hasReason waits until a session is queued for a reason.
func (f *fleet) hasReason(id int64, code string) {
	f.t.Helper()
	f.must(site.Until(time.Minute, "reason "+code, func() (bool, error) {
		s, err := f.Session(id)
		return s.GetStatus() == "Queued" && s.GetReason().GetCode() == code, err
	}))
}

// A paused server keeps a session in the queue, over its own end too, and says why; when it is
// resumed the session runs. So do the other rules, each until it is lifted.
func TestRulesKeepSessionsInTheQueue(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("docs", "web1", []string{src})

	f.do("server", "pause", "--reason", "new switch")
	paused := f.start("docs")
	f.hasReason(paused, "SERVER_PAUSED")
	if r := f.do("session", "list", "--active"); !strings.Contains(r.Stdout, "the server is paused") {
		t.Errorf("the list does not say why: %s", r)
	}
	if r := f.do("status"); !strings.Contains(r.Stdout+r.Stderr, "new switch") {
		t.Errorf("the status does not say why: %s", r)
	}
	f.Server.Kill()
	f.must(f.Server.Start())
	f.hasReason(paused, "SERVER_PAUSED")
	f.do("server", "resume")
	f.final(paused, "Completed")

	f.do("activity", "disable", "data-protection", "--computer", "web1")
	id := f.start("docs")
	f.hasReason(id, "ACTIVITY_DISABLED")
	r := f.do("window", "set", "shut", "--closed", "daily", "--computer", "web1")
	if !strings.Contains(r.Stderr, "window shut never opens") {
		t.Errorf("a window that never opens is saved without a warning: %s", r)
	}
	f.do("activity", "enable", "data-protection", "--computer", "web1")
	f.hasReason(id, "OUTSIDE_WINDOW")
	f.do("window", "delete", "shut")
	f.final(id, "Completed")

	later := f.start("docs", "--at", time.Now().Add(time.Hour).Format("2006-01-02 15:04"))
	f.hasReason(later, "START_TIME")
	f.final(f.start("docs"), "Completed") // it passes the one that waits for its time
	f.do("session", "kill", itoa(int(later)))
	f.final(later, "Killed")
}

// What is set of priorities is what sessions get, and what cannot be is refused.
func TestPrioritiesAreSetAndRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 10, 1<<20, 1))
	f.createJob("docs", "web1", []string{src})
	f.do("priority", "set", "computer/web1", "0")
	f.do("server", "pause")
	id := f.start("docs")
	if s, err := f.Session(id); err != nil || s.GetPriority() != 106 {
		t.Errorf("the session has priority %03d, %v", s.GetPriority(), err)
	}
	f.do("job", "edit", "docs", "--priority", "42")
	f.fails(2, []string{"999"}, "job", "edit", "docs", "--priority", "1000")
	f.fails(2, []string{"999"}, "session", "priority", itoa(int(id)), "1000")
	f.fails(2, []string{"not a digit from 0"}, "priority", "set", "computer/web1", "10")
	f.do("session", "priority", itoa(int(id)), "050")
	if s, err := f.Session(id); err != nil || s.GetPriority() != 50 {
		t.Errorf("the session has priority %03d, %v", s.GetPriority(), err)
	}
	f.do("server", "resume")
	f.final(id, "Completed")
	if s := f.run("docs"); s.GetPriority() != 42 {
		t.Errorf("a session of a job of priority 042 has %03d", s.GetPriority())
	}
}
