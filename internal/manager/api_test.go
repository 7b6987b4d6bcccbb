package manager

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestWatchShowsEveryStatusAndFewPictures(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		var seen []*keepwardv1.Session
		ended := make(chan error, 1)
		go func() {
			ended <- w.m.watch(t.Context(), id, func(s *keepwardv1.Session) error { seen = append(seen, s); return nil })
		}()
		synctest.Wait()
		for i := range 100 { // a hundred reports in a second
			p := &keepwardv1.Progress{Phase: job.PhaseTransfer, Counters: &keepwardv1.Counters{DoneFiles: int64(i + 1)}}
			if err := w.m.Progress(t.Context(), agentOf("web1"), attempt, p); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		w.finish("web1")
		synctest.Wait()
		over := time.Now()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if late := time.Since(over); late > 0 {
			t.Errorf("the end was told %v after it", late)
		}
		if len(seen) > 8 {
			t.Errorf("%d pictures were sent for a second of progress", len(seen))
		}
		last := seen[len(seen)-1]
		if last.GetStatus() != string(job.Completed) {
			t.Errorf("the last picture is %s", last.GetStatus())
		}
		if before := seen[len(seen)-2]; before.GetProgress().GetCounters().GetDoneFiles() < 90 {
			t.Errorf("the progress shown last was %v", before.GetProgress())
		}
	})
}

func TestWatchEndsWithItsCaller(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.m.watch(ctx, id, func(*keepwardv1.Session) error { return nil }) }()
		synctest.Wait()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("watch ended with %v", err)
		}
	})
}

func TestLogIsFollowedToItsLastLine(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		var lines []*keepwardv1.Event
		ended := make(chan error, 1)
		go func() {
			ended <- w.m.readLog(t.Context(), &keepwardv1.ReadLogRequest{Id: id, AfterSeq: 1, Follow: true},
				func(e []*keepwardv1.Event) error { lines = append(lines, e...); return nil })
		}()
		synctest.Wait()
		line := &keepwardv1.Event{Time: timestamppb.Now(), Level: "warning", Code: "file.changed", Path: []byte("/srv/\xff"), Session: 99, Task: "x", Part: "server", Actor: "root"}
		for range 2 { // the answer to the first was lost
			if err := w.m.Events(t.Context(), agentOf("web1"), attempt, []*keepwardv1.Event{line}); err != nil {
				t.Fatal(err)
			}
		}
		w.finish("web1")
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		var warnings []*keepwardv1.Event
		for i, e := range lines {
			if e.GetSeq() != int64(i)+2 {
				t.Errorf("line %d has number %d", i, e.GetSeq())
			}
			if e.GetLevel() == levelWarning {
				warnings = append(warnings, e)
			}
		}
		if len(warnings) != 1 {
			t.Fatalf("the log has %d warnings, want 1", len(warnings))
		}
		if e := warnings[0]; e.GetSession() != id || e.GetPart() != "agent" || e.GetActor() != "" || string(e.GetPath()) != "/srv/\xff" || e.GetTask() == "x" {
			t.Errorf("the line is kept as %v", e)
		}
		if last := lines[len(lines)-1]; last.GetTo() != string(job.CompletedWithWarnings) {
			t.Errorf("the last line is %v", last)
		}
	})
}

func TestReportsAboutAnothersAttemptAreIgnored(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		stranger := agentOf("web2")
		if err := w.m.Events(t.Context(), stranger, attempt, []*keepwardv1.Event{{Level: "error", Text: "lies"}}); err != nil {
			t.Fatal(err)
		}
		if err := w.m.Progress(t.Context(), stranger, attempt, &keepwardv1.Progress{Counters: &keepwardv1.Counters{DoneFiles: 9}}); err != nil {
			t.Fatal(err)
		}
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestUnknownSession(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		_, err := w.m.GetSession(t.Context(), connect.NewRequest(&keepwardv1.GetSessionRequest{Id: 4711}))
		if errs.KindOf(err) != errs.NotFound {
			t.Errorf("GetSession answered %v", err)
		}
	})
}

func TestListsOfSessions(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		w.finish("web1")
		time.Sleep(time.Minute)
		second := w.run()
		list := func(r *keepwardv1.ListSessionsRequest) []*keepwardv1.Session {
			res, err := w.m.ListSessions(t.Context(), connect.NewRequest(r))
			if err != nil {
				t.Fatal(err)
			}
			return res.Msg.GetSessions()
		}
		if got := list(&keepwardv1.ListSessionsRequest{Active: true}); len(got) != 1 || got[0].GetId() != second {
			t.Errorf("active sessions are %v", got)
		}
		if got := list(&keepwardv1.ListSessionsRequest{Job: theJob}); len(got) != 2 || got[0].GetId() != second {
			t.Errorf("sessions of the job are %v", got)
		}
		if got := list(&keepwardv1.ListSessionsRequest{Computer: "web2"}); len(got) != 0 {
			t.Errorf("sessions of web2 are %v", got)
		}
		ended, err := w.m.EndedSince(t.Context(), time.Now().Add(-time.Hour))
		if err != nil || len(ended) != 1 {
			t.Errorf("%d sessions ended in the last hour (%v), want 1", len(ended), err)
		}
		if active, err := w.m.JobActive(t.Context(), theJob); err != nil || active != second {
			t.Errorf("the job's active session is %d (%v), want %d", active, err, second)
		}
		last, err := w.m.LastPoint(t.Context(), "web1")
		if err != nil || last.IsZero() {
			t.Errorf("the last point is of %v (%v)", last, err)
		}
	})
}
