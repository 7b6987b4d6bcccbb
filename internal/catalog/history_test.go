package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// past adds a session that ended so many days before moment.
func past(t *testing.T, db *DB, s Session, days int) int64 {
	t.Helper()
	s.Created = moment.AddDate(0, 0, -days)
	if s.Type == "" {
		s.Type = job.Backup
	}
	if s.Status == "" {
		s.Status = job.Completed
	}
	s = addSession(t, db, s, "web1")
	if s.Status.Final() {
		s.Ended = s.Created.Add(time.Minute)
	}
	s.LastSeq = 1
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		if err := AddEvents(ctx, tx, []*keepwardv1.Event{{Session: s.ID, Seq: 1, Time: timestamppb.New(s.Created), Level: "info", Text: "x"}}); err != nil {
			return err
		}
		return PutSession(ctx, tx, &s)
	})
	return s.ID
}

func left(t *testing.T, db *DB) []int64 {
	t.Helper()
	list, err := Sessions(t.Context(), db.Read(), SessionFilter{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []int64
	for _, s := range slices.Backward(list) {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestOldSessionsAreForgottenAndNotWhatIsAskedFor(t *testing.T) {
	db := openTest(t)
	var want []int64
	keep := func(id int64) { want = append(want, id) }
	past(t, db, Session{Job: "docs", Repository: "main"}, 400)
	past(t, db, Session{Job: "docs", Repository: "main", Status: job.Failed}, 399)
	unsettled := past(t, db, Session{Job: "docs", Repository: "main", Status: job.Killed}, 398)
	keep(unsettled)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return PutAttempt(ctx, tx, &Attempt{ID: "aa", Task: fmt.Sprintf("task-%d", unsettled), Number: 1, Transport: "t1", Time: moment})
	})
	keep(past(t, db, Session{Job: "docs", Repository: "main", Status: job.Suspended}, 397)) // not over
	keep(past(t, db, Session{Job: "rare", Repository: "main"}, 396))                        // the newest of its job
	past(t, db, Session{Type: job.Sweep, Repository: "main"}, 395)
	keep(past(t, db, Session{Type: job.Sweep, Repository: "main"}, 394))  // the newest of its repository
	keep(past(t, db, Session{Type: job.Sweep, Repository: "other"}, 393)) // and of that one
	keep(past(t, db, Session{Type: job.Verify, Repository: "main"}, 392))
	past(t, db, Session{Job: "counted", Repository: "main", Full: true}, 391)
	past(t, db, Session{Job: "counted", Repository: "main"}, 390)
	keep(past(t, db, Session{Job: "counted", Repository: "main", Full: true}, 389)) // its runs since are counted
	keep(past(t, db, Session{Job: "counted", Repository: "main"}, 388))
	keep(past(t, db, Session{Job: "docs", Repository: "main"}, 3))
	keep(past(t, db, Session{Job: "counted", Repository: "main"}, 2))

	forget := func(limit int) (n int64) {
		write(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			n, err = ForgetSessions(ctx, tx, moment.AddDate(0, 0, -365), `["counted"]`, limit)
			return err
		})
		return n
	}
	if n := forget(2); n != 2 || left(t, db)[0] != 3 {
		t.Errorf("%d were forgotten of two at most; left are %v", n, left(t, db))
	}
	if n := forget(100); n != 3 {
		t.Errorf("%d were forgotten, want the three that were left", n)
	}
	if got := left(t, db); !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	for _, table := range []string{"tasks", "events"} {
		var n int
		if err := db.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil || n != len(want) {
			t.Errorf("%d rows are left of %s (%v), want %d", n, table, err, len(want))
		}
	}
	if n := forget(100); n != 0 {
		t.Errorf("%d more were forgotten", n)
	}
}

func TestOldLogsAreForgotten(t *testing.T) {
	db := openTest(t)
	past(t, db, Session{Job: "docs"}, 100)
	past(t, db, Session{Job: "docs", Status: job.Suspended}, 100)
	young := past(t, db, Session{Job: "docs"}, 80)
	forget := func() (n int) {
		write(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
			n, err = ForgetLogs(ctx, tx, moment.AddDate(0, 0, -90), 10)
			return err
		})
		return n
	}
	if n := forget(); n != 1 {
		t.Errorf("%d logs were forgotten, want one", n)
	}
	for id, want := range map[int64]int{1: 0, 2: 1, young: 1} {
		if events, err := Events(t.Context(), db.Read(), id, 0, 10); err != nil || len(events) != want {
			t.Errorf("session %d has %d lines (%v), want %d", id, len(events), err, want)
		}
	}
	if n := forget(); n != 0 {
		t.Errorf("%d logs were forgotten again", n)
	}
}

// A text is found in names of computers, whether they are few or more than are looked up by the name.
func TestATextIsFoundInNamesOfComputersFewOrMany(t *testing.T) {
	db := openTest(t)
	s := addSession(t, db, Session{Type: job.Backup, Status: job.Completed, Job: "docs", Created: moment}, "node0000")
	write(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
		for n := 1; n <= namesMost && err == nil; n++ {
			err = AddTask(ctx, tx, &Task{ID: fmt.Sprint("node-", n), Session: s.ID, Position: n, Computer: fmt.Sprintf("node%04d", n), Repository: "main", Status: s.Status})
		}
		return err
	})
	for text, want := range map[string]int{"NODE0007": 1, "node": 1, "nowhere": 0} {
		names, err := namesWith(t.Context(), db.Read(), text)
		if err != nil || (names == "") != (text == "node") {
			t.Errorf("names with %s: %q, %v", text, names, err)
		}
		if list, err := Sessions(t.Context(), db.Read(), SessionFilter{Text: text}); err != nil || len(list) != want {
			t.Errorf("%d sessions have %s (%v), want %d", len(list), text, err, want)
		}
	}
}

func TestAllFiltersOfSessions(t *testing.T) {
	db := openTest(t)
	add := func(s Session, days int) { past(t, db, s, days) }
	add(Session{Job: "docs", Repository: "main", StartedBy: "ann"}, 9)                                                                       // 1
	add(Session{Job: "docs", Repository: "main", Status: job.Failed, Failure: &keepwardv1.Failure{Message: "write pack: No Space left"}}, 8) // 2
	add(Session{Type: job.Restore, Repository: "main", StartedBy: "bob", Status: job.CompletedWithErrors}, 7)                                // 3
	add(Session{Job: "mail", Repository: "other", Status: job.Waiting, Reason: &keepwardv1.Reason{Text: "the agent of web7 is offline"}}, 6) // 4
	add(Session{Job: "mail", Repository: "other", Status: job.Killed}, 5)                                                                    // 5
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return AddEvents(ctx, tx, []*keepwardv1.Event{
			{Session: 5, Seq: 2, Time: timestamppb.New(moment), Level: "warning", Text: "Permission denied"},
			{Session: 5, Seq: 3, Time: timestamppb.New(moment), Level: "info", Text: "quiet word"},
		})
	})
	day := func(n int) time.Time { return moment.AddDate(0, 0, -n) }
	for _, tt := range []struct {
		name   string
		filter SessionFilter
		want   []int64
	}{
		{"all", SessionFilter{}, []int64{1, 2, 3, 4, 5}},
		{"job", SessionFilter{Job: "docs"}, []int64{1, 2}},
		{"type", SessionFilter{Type: job.Restore}, []int64{3}},
		{"statuses", SessionFilter{Statuses: []job.Status{job.Failed, job.Killed}}, []int64{2, 5}},
		{"active", SessionFilter{Active: true}, []int64{4}},
		{"active of a job", SessionFilter{Active: true, Job: "docs"}, nil},
		{"since: what was there then", SessionFilter{Since: day(7)}, []int64{3, 4, 5}},
		{"until", SessionFilter{Until: day(7)}, []int64{1, 2, 3}},
		{"between", SessionFilter{Since: day(8), Until: day(7)}, []int64{2, 3}},
		{"in the failure, in any case", SessionFilter{Text: "no space"}, []int64{2}},
		{"in the reason", SessionFilter{Text: "web7"}, []int64{4}},
		{"in the user", SessionFilter{Text: "BOB"}, []int64{3}},
		{"in the computer", SessionFilter{Text: "web1"}, []int64{1, 2, 3, 4, 5}},
		{"in a warning", SessionFilter{Text: "permission DENIED"}, []int64{5}},
		{"not in the rest of the log", SessionFilter{Text: "quiet word"}, nil},
		{"not over two fields", SessionFilter{Text: "mailbackup"}, nil},
		{"before", SessionFilter{Before: 3}, []int64{1, 2}},
		{"the newest", SessionFilter{Limit: 2}, []int64{4, 5}},
		{"a page", SessionFilter{Before: 4, Limit: 2}, []int64{2, 3}},
		{"all at once", SessionFilter{Job: "mail", Computer: "web1", Type: job.Backup, Statuses: []job.Status{job.Killed}, Since: day(6), Text: "denied"}, []int64{5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := Sessions(t.Context(), db.Read(), tt.filter)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, s := range slices.Backward(list) {
				got = append(got, s.ID)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("sessions %v, want %v", got, tt.want)
			}
		})
	}
	counts, err := StatusCounts(t.Context(), db.Read(), "docs", day(8))
	if err != nil || len(counts) != 1 || counts[job.Failed] != 1 {
		t.Errorf("counted %v (%v)", counts, err)
	}
}

func TestWhichComputersWereStarted(t *testing.T) {
	db := openTest(t)
	start := func(by, computer string, after time.Duration) {
		addSession(t, db, Session{Job: "docs", Type: job.Backup, Status: job.Queued, StartedBy: by, Created: moment.Add(after)}, computer)
	}
	start("schedule", "web1", -time.Second)
	start("schedule", "web2", 0)
	start("schedule", "web3", time.Second)
	start("schedule", "web3", 2*time.Second)
	start("ann", "web4", time.Second)
	got, err := StartedSince(t.Context(), db.Read(), "docs", "schedule", moment)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"web2", "web3"}) {
		t.Errorf("started are %v (%v)", got, err)
	}
	s, ok, err := LastOfComputer(t.Context(), db.Read(), "docs", "web3")
	if err != nil || !ok || s.ID != 4 {
		t.Errorf("the last of web3 is %d, %v (%v)", s.ID, ok, err)
	}
	if _, ok, err := LastOfComputer(t.Context(), db.Read(), "docs", "web9"); ok || err != nil {
		t.Errorf("web9 has one (%v)", err)
	}
}
