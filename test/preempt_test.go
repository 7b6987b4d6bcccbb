package test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// statusesOf are the statuses that a session's first task went through.
func (f *fleet) statusesOf(id int64) []string {
	f.t.Helper()
	events, err := f.Events(id)
	f.must(err)
	var list []string
	for _, e := range events {
		if e.GetCode() == "status" {
			list = append(list, e.GetTo())
		}
	}
	return list
}

// hasStatus waits until a session is in a status.
func (f *fleet) hasStatus(id int64, status string, within time.Duration) *keepwardv1.Session {
	f.t.Helper()
	var last *keepwardv1.Session
	f.must(site.Until(within, "status "+status, func() (bool, error) {
		s, err := f.Session(id)
		last = s
		return s.GetStatus() == status, err
	}))
	return last
}

// A restore takes a stream from one of two slow checks that hold both. The check says so, comes
// back when the restore is over, and does not read again what it has proved.
func TestARestoreTakesTheStreamOfACheck(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.createJob("docs", "web1", []string{src})
	f.manyPoints("docs", src, 5)
	f.do("repository", "edit", "main", "--streams", "2")
	older := f.startCheck("--read-data", "--rate", "1M")
	f.hasStatus(older, "Running", time.Minute)
	younger := f.startAnotherCheck(older, "--read-data", "--rate", "1M")
	f.hasStatus(younger, "Running", time.Minute)
	f.must(site.Until(time.Minute, "progress of both", func() (bool, error) {
		s, err := f.Session(younger)
		return s.GetProgress().GetCounters().GetDoneBytes() > 4<<20, err
	}))

	started := time.Now()
	to := f.restore("web1", "latest")
	t.Logf("the restore took %.1f s", time.Since(started).Seconds())
	if diff, err := site.RsyncDiff(src, filepath.Join(to, src)); err != nil || diff != "" {
		t.Errorf("restored with differences: %s %v", diff, err)
	}
	victim, other := younger, older
	if !slices.Contains(f.statusesOf(victim), "Interrupt Pending") {
		victim, other = other, victim
	}
	restore := lastSession(f)
	waited := slices.ContainsFunc(f.eventsOf(restore.GetId()), func(e *keepwardv1.Event) bool {
		return e.GetText() == "waiting for sessions ["+itoa(int(victim))+"] to release the resources"
	})
	if !waited {
		t.Errorf("the restore does not say for whom it waited:\n%s", f.sessionLog(restore.GetId()))
	}
	f.hasStatus(victim, "Running", time.Minute)
	f.do("session", "kill", itoa(int(other))) // it would take as long again
	s := f.final(victim, "Completed")
	want := []string{"Queued", "Waiting", "Running", "Interrupt Pending", "Interrupted", "Waiting", "Running", "Completed"}
	if got := f.statusesOf(victim); !slices.Equal(got, want) {
		t.Errorf("the check went through %q, want %q", got, want)
	}
	p := f.repository().GetProof()
	if s.GetTasks()[0].GetAttempt() != 2 || p.GetProvedBytes() != p.GetBytes() {
		t.Errorf("after two attempts all should be proved: %v %v", s, p)
	}
	if read := s.GetProgress().GetCounters().GetDoneBytes(); read >= p.GetBytes() {
		t.Errorf("the second attempt read %d of %d bytes: all again", read, p.GetBytes())
	}
}

func (f *fleet) eventsOf(id int64) []*keepwardv1.Event {
	f.t.Helper()
	events, err := f.Events(id)
	f.must(err)
	return events
}

// startAnotherCheck starts a check beside one that runs.
func (f *fleet) startAnotherCheck(not int64, args ...string) int64 {
	f.t.Helper()
	var id int64
	f.must(f.Command(f.t.Context(), append([]string{"repository", "check", "main"}, args...)...).Start())
	f.must(site.Until(time.Minute, "session of the second check", func() (bool, error) {
		list, err := f.Sessions()
		for _, s := range list {
			if s.GetType() == "verify" && s.GetId() != not && s.GetEnded() == nil {
				id = s.GetId()
			}
		}
		return id != 0, err
	}))
	return id
}

// A backup that is suspended in the middle lets go, survives the server, and goes on when it is
// resumed without sending again what is stored.
func TestASuspendedBackupGoesOn(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	const size = 700 << 20
	f.must(site.RandomTree(src, 64, size, 7))
	f.createJob("docs", "web1", []string{src})
	id := f.start("docs")
	f.must(site.Until(time.Minute, "progress of the backup", func() (bool, error) {
		s, err := f.Session(id)
		return s.GetProgress().GetCounters().GetSentBytes() > size/8 || s.GetEnded() != nil, err
	}))
	f.do("session", "suspend", itoa(int(id)))
	if s := f.hasStatus(id, "Suspended", time.Minute); s.GetEnded() != nil {
		t.Fatal("it was done before it could be suspended")
	}
	if movers := site.Movers(f.store); len(movers) > 0 {
		t.Errorf("a suspended session still has a mover: %v", movers)
	}
	first, err := f.Session(id)
	f.must(err)
	f.Server.Kill()
	f.must(f.Server.Start())
	f.hasStatus(id, "Suspended", time.Minute)
	f.do("session", "resume", itoa(int(id)))
	s := f.final(id, "Completed")
	sent := first.GetProgress().GetCounters().GetSentBytes() + s.GetProgress().GetCounters().GetSentBytes()
	t.Logf("sent %d MiB in the first attempt and %d MiB in all, of %d", first.GetProgress().GetCounters().GetSentBytes()>>20, sent>>20, size>>20)
	if sent > size*5/4 {
		t.Errorf("%d bytes were sent of %d: the second attempt began anew", sent, size)
	}
	to := f.restore("web1", "latest")
	if diff, err := site.RsyncDiff(src, filepath.Join(to, src)); err != nil || diff != "" {
		t.Errorf("restored with differences: %s %v", diff, err)
	}
}
