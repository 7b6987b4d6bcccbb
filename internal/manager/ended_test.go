package manager

import (
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

// A session that is over is described once, and again when something of it changes after its end; what
// is not over is never kept, and no more than so many are.
func TestASessionThatIsOverIsDescribedOnce(t *testing.T) {
	var e endedSessions
	row := catalog.Session{ID: 7, Status: job.Completed, Ended: time.Unix(100, 0), LastSeq: 5}
	s := &keepwardv1.Session{Id: 7}
	e.put(row, s)
	if got := e.get(row); got != s {
		t.Errorf("got %v", got)
	}
	for name, change := range map[string]func(*catalog.Session){
		"a late line":        func(r *catalog.Session) { r.LastSeq++ },
		"it is tried again":  func(r *catalog.Session) { r.RetryAt = time.Unix(200, 0) },
		"it came to failure": func(r *catalog.Session) { r.Status = job.Failed },
	} {
		later := row
		change(&later)
		if e.get(later) != nil {
			t.Errorf("%s: the old description is told", name)
		}
	}
	running := catalog.Session{ID: 8, Status: job.Running}
	e.put(running, &keepwardv1.Session{Id: 8})
	if e.get(running) != nil {
		t.Error("a session that is not over was kept")
	}
	for id := range int64(3 * endedMost) {
		e.put(catalog.Session{ID: 100 + id, Status: job.Completed, Ended: time.Unix(1, 0)}, s)
	}
	if n := len(e.seen); n != endedMost {
		t.Errorf("%d are kept", n)
	}
}

// However many watch one list, it is read once after a change; it is forgotten with its last watcher.
func TestAListThatManyWatchIsReadOnce(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		f := catalog.SessionFilter{Active: true, Limit: 10}
		one, leaveOne := w.m.watched.join(f)
		two, leaveTwo := w.m.watched.join(f)
		if one != two {
			t.Fatal("two who watch the same have a list each")
		}
		read := func() []*keepwardv1.Session {
			t.Helper()
			list, err := one.sessions(t.Context(), w.m, f)
			if err != nil {
				t.Fatal(err)
			}
			return list
		}
		synctest.Wait()
		first := read()
		if again := read(); len(first) != 1 || &again[0] != &first[0] {
			t.Error("it is read again although nothing has changed")
		}
		second := w.run()
		synctest.Wait()
		if now := read(); len(now) != 2 || now[0].GetId() != second {
			t.Errorf("after a change there are %v", now)
		}
		leaveOne()
		if len(w.m.watched.lists) != 1 {
			t.Error("it is forgotten while somebody watches it")
		}
		leaveTwo()
		if len(w.m.watched.lists) != 0 {
			t.Error("it is kept when nobody watches it")
		}
	})
}
