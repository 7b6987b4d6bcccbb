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
