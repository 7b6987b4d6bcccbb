package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

var moment = time.Date(2026, 11, 22, 3, 4, 5, 678, time.UTC)

// addSession adds a session with one task.
func addSession(t *testing.T, db *DB, s Session, computer string) Session {
	t.Helper()
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		if err := AddSession(ctx, tx, &s); err != nil {
			return err
		}
		return AddTask(ctx, tx, &Task{ID: fmt.Sprintf("task-%d", s.ID), Session: s.ID, Computer: computer, Repository: "main", Status: s.Status})
	})
	return s
}

func TestSessionTaskAndAttemptComeBackAsTheyWerePut(t *testing.T) {
	db := openTest(t)
	definition, err := Definition(&keepwardv1.Job{Name: "docs", Computers: []string{"web1"}})
	if err != nil {
		t.Fatal(err)
	}
	s := addSession(t, db, Session{
		Job: "docs", Type: job.Backup, Status: job.Queued, Priority: 166, Repository: "main", Full: true, StartedBy: "ann",
		Definition: definition, Created: moment,
	}, "web1")
	s.Status, s.Phase, s.Started, s.Ended, s.LastSeq = job.Failed, "transfer", moment.Add(1), moment.Add(2), 7
	s.Reason = &keepwardv1.Reason{Code: "CONFLICT", Args: []string{"3"}, Text: "session 3 must end first"}
	s.Failure = &keepwardv1.Failure{Kind: "no space", Message: "write pack: no space left on device", Part: "mover"}
	task := Task{
		ID: fmt.Sprintf("task-%d", s.ID), Session: s.ID, Computer: "web1", Repository: "main", Status: job.Pending, Phase: "transfer",
		Attempts: 2, Reason: s.Reason, Failure: s.Failure, Progress: &keepwardv1.Progress{Counters: &keepwardv1.Counters{DoneBytes: 1 << 60}},
		Point: "p", RestartAt: moment, RestartOn: "agent transport", Errors: 3, Warnings: 4, KilledBy: "bob", Started: moment, Ended: moment,
		KillCommits: true, SuspendedBy: "eve", Interruptions: 5, Preemptions: 6, InterruptedFor: 7, Priority: 8, Holds: true, StartAt: moment,
		Report: &keepwardv1.TaskReport{},
	}
	attempt := Attempt{
		ID: "aa", Task: task.ID, Number: 2, Transport: "host1", Agent: "web1", Time: moment, Parent: "p0", Checkpoint: "c0",
		MoverBoot: "m", AgentBoot: "a", MoverOrdered: true, AgentOrdered: true, MoverEnd: &keepwardv1.AttemptEnd{Outcome: "done", Committed: true},
		AgentEnd: &keepwardv1.AttemptEnd{Outcome: "failed", Failure: s.Failure}, Failure: s.Failure, Settled: SettledFenced, Checkpointed: true,
	}
	bare := Attempt{
		ID: attempt.ID, Task: task.ID, Number: 2, Transport: "host1", Agent: "web1", Time: moment, Parent: "p0", Checkpoint: "c0",
	}
	whole, wholeAttempt := task, attempt // are there with all of it from the first
	whole.ID, whole.Position, wholeAttempt.ID, wholeAttempt.Task = "whole", 1, "bb", "whole"
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(PutAttempt(ctx, tx, &bare), AddTask(ctx, tx, &whole), PutAttempt(ctx, tx, &wholeAttempt))
	})
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(PutSession(ctx, tx, &s), PutTask(ctx, tx, &task), PutAttempt(ctx, tx, &attempt))
	})
	gotSession, err := GetSession(t.Context(), db.Read(), s.ID)
	if diff := cmp.Diff(s, gotSession, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("session (%v) (-want +got):\n%s", err, diff)
	}
	tasks, err := Tasks(t.Context(), db.Read(), s.ID)
	if diff := cmp.Diff([]Task{task, whole}, tasks, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("tasks (%v) (-want +got):\n%s", err, diff)
	}
	for _, want := range []Attempt{attempt, wholeAttempt} {
		got, session, ok, err := FindAttempt(t.Context(), db.Read(), want.ID)
		if diff := cmp.Diff(want, got, protocmp.Transform()); err != nil || !ok || session != s.ID || diff != "" {
			t.Errorf("attempt of session %d, %v (%v) (-want +got):\n%s", session, ok, err, diff)
		}
	}
	back, err := DefinitionOf(gotSession, &keepwardv1.Job{})
	if err != nil || back.GetComputers()[0] != "web1" {
		t.Errorf("definition is %v (%v)", back, err)
	}
}

func TestUnknownSessionAndAttempt(t *testing.T) {
	db := openTest(t)
	if _, err := GetSession(t.Context(), db.Read(), 1); errs.KindOf(err) != errs.NotFound {
		t.Errorf("GetSession answered %v", err)
	}
	if _, _, ok, err := FindAttempt(t.Context(), db.Read(), "aa"); ok || err != nil {
		t.Errorf("FindAttempt answered %v, %v", ok, err)
	}
}

func TestSessionsAreFiltered(t *testing.T) {
	db := openTest(t)
	over := addSession(t, db, Session{Job: "docs", Type: job.Backup, Status: job.Completed, StartedBy: "ann", Created: moment}, "web1")
	over.Ended = moment
	write(t, db, func(ctx context.Context, tx *sql.Tx) error { return PutSession(ctx, tx, &over) })
	addSession(t, db, Session{Job: "docs", Type: job.Backup, Status: job.Running, StartedBy: "ann", Created: moment}, "web2")
	addSession(t, db, Session{Type: job.Verify, Status: job.Queued, StartedBy: "ann", Created: moment}, "")
	for _, c := range []struct {
		name   string
		filter SessionFilter
		want   []int64
	}{
		{"all, newest first", SessionFilter{}, []int64{3, 2, 1}},
		{"active", SessionFilter{Active: true}, []int64{3, 2}},
		{"of a job", SessionFilter{Job: "docs"}, []int64{2, 1}},
		{"of a computer", SessionFilter{Computer: "web2"}, []int64{2}},
		{"ended since", SessionFilter{EndedAfter: moment}, []int64{1}},
		{"ended since later", SessionFilter{EndedAfter: moment.Add(1)}, nil},
		{"bounded", SessionFilter{Limit: 1}, []int64{3}},
	} {
		list, err := Sessions(t.Context(), db.Read(), c.filter)
		var got []int64
		for _, s := range list {
			got = append(got, s.ID)
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s (%v) (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func TestOnlyUnsettledAttemptsOfTasksThatAreOverAreLeft(t *testing.T) {
	db := openTest(t)
	for i, c := range []struct {
		ended   time.Time
		settled Settled
	}{{moment, Unsettled}, {moment, SettledFenced}, {time.Time{}, Unsettled}} {
		s := addSession(t, db, Session{Job: "docs", Type: job.Backup, Status: job.Running, StartedBy: "ann"}, "web1")
		write(t, db, func(ctx context.Context, tx *sql.Tx) error {
			id := fmt.Sprintf("task-%d", s.ID)
			if err := PutTask(ctx, tx, &Task{ID: id, Session: s.ID, Computer: "web1", Status: job.Running, Ended: c.ended}); err != nil {
				return err
			}
			return PutAttempt(ctx, tx, &Attempt{ID: fmt.Sprintf("a%d", i), Task: id, Number: 1, Transport: "host1", Settled: c.settled})
		})
	}
	left, err := LeftUnsettled(t.Context(), db.Read(), "host1")
	if err != nil || len(left) != 1 || left[0].ID != "a0" {
		t.Errorf("left are %v (%v), want a0 alone", left, err)
	}
	if left, err = LeftUnsettled(t.Context(), db.Read(), "host2"); err != nil || len(left) != 0 {
		t.Errorf("at another transport %v (%v) are left", left, err)
	}
}

func TestLogIsReadInBatches(t *testing.T) {
	db := openTest(t)
	s := addSession(t, db, Session{Type: job.Backup, Status: job.Running, StartedBy: "ann"}, "web1")
	var want []*keepwardv1.Event
	for i := range 5 {
		want = append(want, &keepwardv1.Event{
			Session: s.ID, Seq: int64(i + 1), Time: timestamppb.New(moment), Task: "task-1", Level: "error", Part: "agent", Code: "file.unreadable",
			Text: "permission denied", Path: []byte("/srv/\xff\n"), From: "Queued", To: "Waiting", Actor: "ann",
		})
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error { return AddEvents(ctx, tx, want) })
	got, err := Events(t.Context(), db.Read(), s.ID, 1, 3)
	if diff := cmp.Diff(want[1:4], got, protocmp.Transform()); err != nil || diff != "" {
		t.Errorf("log (%v) (-want +got):\n%s", err, diff)
	}
	for _, c := range []struct {
		change func(e *keepwardv1.Event)
		want   bool
	}{
		{func(*keepwardv1.Event) {}, true},
		{func(e *keepwardv1.Event) { e.Path = nil }, false},
		{func(e *keepwardv1.Event) { e.Time = timestamppb.New(moment.Add(1)) }, false},
	} {
		e := &keepwardv1.Event{Session: s.ID, Time: want[0].Time, Task: "task-1", Part: "agent", Code: "file.unreadable", Text: "permission denied", Path: want[0].Path}
		c.change(e)
		if known, err := HasEvent(t.Context(), db.Read(), e); err != nil || known != c.want {
			t.Errorf("HasEvent(%v) = %v, %v; want %v", e, known, err, c.want)
		}
	}
}

func TestPointsAreFilteredNewestFirst(t *testing.T) {
	db := openTest(t)
	add := func(id, computer, jobName string, at time.Duration, partial bool) *keepwardv1.Point {
		p := &keepwardv1.Point{
			Id: id, Computer: computer, Job: jobName, Session: 1, Repository: "main", Time: timestamppb.New(moment.Add(at)), Parent: "x", Full: true,
			Partial: partial, Completeness: "complete", Counters: &keepwardv1.Counters{DoneFiles: 2}, Files: &keepwardv1.FileSelection{Include: []string{"/srv"}},
		}
		write(t, db, func(ctx context.Context, tx *sql.Tx) error { return AddPoint(ctx, tx, p) })
		return p
	}
	old := add("aabbcc", "web1", "docs", 0, false)
	newer := add("aabbdd", "web1", "etc", time.Hour, false)
	partial := add("ffffff", "web1", "docs", 2*time.Hour, true)
	other := add("00ffff", "web2", "docs", 3*time.Hour, false)
	for _, c := range []struct {
		name   string
		filter PointFilter
		want   []*keepwardv1.Point
	}{
		{"all", PointFilter{}, []*keepwardv1.Point{other, partial, newer, old}},
		{"of a computer", PointFilter{Computer: "web1"}, []*keepwardv1.Point{partial, newer, old}},
		{"of a job", PointFilter{Computer: "web1", Job: "docs"}, []*keepwardv1.Point{partial, old}},
		{"latest", PointFilter{Computer: "web1", Whole: true, Limit: 1}, []*keepwardv1.Point{newer}},
		{"prefix", PointFilter{Prefix: "aabb"}, []*keepwardv1.Point{newer, old}},
		{"whole id", PointFilter{Prefix: "ffffff"}, []*keepwardv1.Point{partial}},
		{"at a time", PointFilter{Until: moment, Limit: 1}, []*keepwardv1.Point{old}},
		{"before all", PointFilter{Until: moment.Add(-1)}, nil},
		{"another repository", PointFilter{Repository: "second"}, nil},
	} {
		got, err := Points(t.Context(), db.Read(), c.filter)
		if diff := cmp.Diff(c.want, got, protocmp.Transform()); err != nil || diff != "" {
			t.Errorf("%s (%v) (-want +got):\n%s", c.name, err, diff)
		}
	}
	changed := add("aabbcc", "web9", "docs", 0, false) // the first word on a point stands
	if got, err := Points(t.Context(), db.Read(), PointFilter{Prefix: "aabbcc"}); err != nil || got[0].GetComputer() == changed.GetComputer() {
		t.Errorf("a point was overwritten: %v (%v)", got, err)
	}
}

// A text is found once in each session that has it, the newest first, however far back, and no more than are asked for.
func TestATextIsFoundHoweverFarBack(t *testing.T) {
	db := openTest(t)
	const n, every = 6*textSpan + 3, 97
	var want []int64
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		for i := range n {
			s := Session{Type: job.Backup, Status: job.Completed, Job: "docs", Created: moment}
			if i%every == 0 {
				s.StartedBy = "needle"
			}
			if err := AddSession(ctx, tx, &s); err != nil {
				return err
			}
			if i%every == 0 || i%every == 50 {
				want = append(want, s.ID)
			}
			if i%every == 0 || i%every == 50 { // the first of them in both places
				if err := AddEvents(ctx, tx, []*keepwardv1.Event{{Session: s.ID, Seq: 1, Time: timestamppb.New(moment), Level: "warning", Text: "a Needle"}}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	slices.Reverse(want)
	var all []int64 // also those at the ends of the spans that are looked through, and each once
	for id := int64(n); id > 0; id-- {
		all = append(all, id)
	}
	for _, tt := range []struct {
		filter SessionFilter
		want   []int64
	}{
		{SessionFilter{Text: "needle"}, want},
		{SessionFilter{Text: "needle", Limit: 1000}, want},
		{SessionFilter{Text: "needle", Limit: 7}, want[:7]},
		{SessionFilter{Text: "needle", Limit: 1}, want[:1]},
		{SessionFilter{Text: "needle", Limit: 20, Before: want[9]}, want[10:30]},
		{SessionFilter{Text: "needle", Limit: 20, Before: 2}, []int64{1}},
		{SessionFilter{Text: "needle", Limit: 20, Before: 1}, nil},
		{SessionFilter{Text: "docs", Limit: 2 * n}, all},
		{SessionFilter{Text: "docs"}, all},
		{SessionFilter{Text: "hay", Limit: 20}, nil},
	} {
		list, err := Sessions(t.Context(), db.Read(), tt.filter)
		var got []int64
		for _, s := range list {
			got = append(got, s.ID)
		}
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%+v finds %v (%v), want %v", tt.filter, got, err, tt.want)
		}
	}
}

// A text is looked for in names of computers, in what went wrong and in the log by an index of each.
func TestATextIsLookedForByIndexes(t *testing.T) {
	db := openTest(t)
	args, err := sessionArgs(SessionFilter{Text: "lost"})
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "", 50, 0, 1000)
	for _, index := range []string{"tasks_in_trouble (session>? AND session<?)", "COVERING INDEX events_trouble_text (session>? AND session<?)"} {
		foundBy(t, db, index, `SELECT id FROM sessions WHERE `+sessionWhere+` AND `+textInTrouble+` LIMIT ?13`, args...)
	}
	foundBy(t, db, "COVERING INDEX tasks_of_session", `SELECT id FROM sessions WHERE `+textInNames, args...)
	args[argNames] = `["web1"]`
	foundBy(t, db, "COVERING INDEX tasks_by_computer (computer=?)", `SELECT id FROM sessions WHERE `+textInNames, args...)
}
