package manager

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestOldHistoryIsForgotten(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		for range 3 {
			w.run()
			w.finish("web1")
		}
		forget := func(after time.Duration, wantSessions, wantLogs int64) {
			t.Helper()
			sessions, logs, err := w.m.forgetBefore(t.Context(), time.Now().Add(after))
			if err != nil || sessions != wantSessions || logs != wantLogs {
				t.Errorf("after %s: %d sessions and %d logs were forgotten (%v), want %d and %d", after, sessions, logs, err, wantSessions, wantLogs)
			}
		}
		forget(job.DefaultLogHistory-time.Hour, 0, 0)
		w.setting("session_history", "0s")
		w.setting("log_history", "0s")
		forget(2*job.DefaultSessionHistory, 0, 0)
		w.setting("log_history", "30d")
		forget(31*24*time.Hour, 0, 3)
		w.setting("session_history", "60d")
		forget(59*24*time.Hour, 0, 0)
		forget(61*24*time.Hour, 2, 0)
		if list := w.of(theJob); len(list) != 1 || list[0].GetId() != 3 {
			t.Errorf("left are %v", list)
		}
		if len(w.points()) != 3 {
			t.Error("restore points went with their sessions")
		}
	})
}

func TestHistoryIsForgottenByItself(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("session_history", "1h")
		w.connect()
		for range 2 {
			w.run()
			w.finish("web1")
		}
		w.pass(forgetEvery + 2*time.Minute)
		if list := w.of(theJob); len(list) != 1 {
			t.Errorf("%d sessions are left", len(list))
		}
	})
}

func TestNothingIsForgottenByAClockThatJumped(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		for range 2 {
			w.run()
			w.finish("web1")
		}
		w.pass(2 * time.Minute)
		w.mu.Lock()
		w.jump = 10 * 365 * 24 * time.Hour
		w.mu.Unlock()
		w.setting("session_history", "1s")
		w.m.forgetOld(t.Context())
		if list := w.of(theJob); len(list) != 2 {
			t.Errorf("%d sessions are left", len(list))
		}
	})
}

func TestFiguresOfAJob(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		for i := range 4 {
			w.run()
			w.pass(10 * time.Second)
			attempt := w.agents["web1"].only(t)
			w.moverCommits(attempt)
			w.agentDone("web1", attempt, &keepwardv1.Counters{
				DoneFiles: 3, ReadBytes: int64(1000 * (i + 1)), LimitSourceMillis: 900, LimitCpuMillis: 100,
			})
		}
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.killSession(id, "")
		w.obeyStop(attempt)
		f, err := w.m.JobFigures(t.Context(), &keepwardv1.GetJobFiguresRequest{Name: theJob})
		if err != nil {
			t.Fatal(err)
		}
		if len(f.GetStatuses()) != 2 || f.GetStatuses()[0].GetSessions() != 4 || f.GetStatuses()[1].GetStatus() != string(job.Killed) {
			t.Errorf("statuses are %v", f.GetStatuses())
		}
		if r := f.GetReadBytes(); r.GetLast() != 4000 || r.GetLeast() != 1000 || r.GetMean() != 2500 || r.Trend == nil || r.GetTrend() != 133 {
			t.Errorf("read: %v", r)
		}
		if d := f.GetDurationMillis(); d.GetMean()/1000 != 10 || d.GetTrend() != 0 {
			t.Errorf("duration: %v", d)
		}
		if f.GetBytesPerSecond().GetLast() != 400 || f.GetBottleneck() != "source" || f.GetLimits().GetSource() != 90 {
			t.Errorf("rate %v, limits %v, bottleneck %q", f.GetBytesPerSecond(), f.GetLimits(), f.GetBottleneck())
		}
		if runs := f.GetRuns(); len(runs) != 5 || runs[0].GetSession() != id || runs[1].GetReadBytes() != 4000 {
			t.Errorf("runs are %v", f.GetRuns())
		}
		f, err = w.m.JobFigures(t.Context(), &keepwardv1.GetJobFiguresRequest{Name: theJob, Runs: 2, Since: timestamppb.New(time.Now().Add(time.Hour))})
		if err != nil || len(f.GetRuns()) != 0 || f.GetReadBytes() != nil || f.GetLimits() != nil || f.GetBottleneck() != "" {
			t.Errorf("of a time without sessions: %v (%v)", f, err)
		}
		if _, err := w.m.JobFigures(t.Context(), &keepwardv1.GetJobFiguresRequest{Name: "nobody"}); errs.KindOf(err) != errs.NotFound {
			t.Errorf("of a job that is not there: %v", err)
		}
	})
}

func TestFiltersAreChecked(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		list := func(r *keepwardv1.ListSessionsRequest) ([]*keepwardv1.Session, error) {
			res, err := w.m.ListSessions(t.Context(), connect.NewRequest(r))
			if err != nil {
				return nil, err
			}
			return res.Msg.GetSessions(), nil
		}
		for _, tt := range []struct {
			r    *keepwardv1.ListSessionsRequest
			want int
			kind errs.Kind
		}{
			{&keepwardv1.ListSessionsRequest{Statuses: []string{"RUNNING"}}, 1, ""},
			{&keepwardv1.ListSessionsRequest{Statuses: []string{"success", "warning"}}, 0, ""},
			{&keepwardv1.ListSessionsRequest{Statuses: []string{"failed"}}, 0, ""},
			{&keepwardv1.ListSessionsRequest{Statuses: []string{"sleeping"}}, 0, errs.Invalid},
			{&keepwardv1.ListSessionsRequest{Type: "backup"}, 1, ""},
			{&keepwardv1.ListSessionsRequest{Type: "dance"}, 0, errs.Invalid},
			{&keepwardv1.ListSessionsRequest{Before: id}, 0, ""},
			{&keepwardv1.ListSessionsRequest{Since: timestamppb.New(time.Now().Add(time.Hour))}, 1, ""}, // it is not over
			{&keepwardv1.ListSessionsRequest{Until: timestamppb.New(time.Now().Add(-time.Hour))}, 0, ""},
			{&keepwardv1.ListSessionsRequest{Job: "nobody"}, 0, errs.NotFound},
			{&keepwardv1.ListSessionsRequest{Computer: "nobody"}, 0, errs.NotFound},
		} {
			got, err := list(tt.r)
			if len(got) != tt.want || (err != nil) != (tt.kind != "") || err != nil && errs.KindOf(err) != tt.kind {
				t.Errorf("%v: %d sessions, %v", tt.r, len(got), err)
			}
		}
		if s, ok := statusesOf("Warning"); !ok || len(s) != 3 {
			t.Errorf("warning means %v", s)
		}
	})
}

func TestAListIsWatchedLive(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		first := w.run()
		ctx, stop := context.WithCancel(t.Context())
		got := make(chan *keepwardv1.WatchSessionsResponse, 100) // more than are sent
		ended := make(chan error, 1)
		go func() {
			ended <- w.m.watchList(ctx, catalog.SessionFilter{Active: true, Limit: 10}, func(m *keepwardv1.WatchSessionsResponse) error {
				got <- m
				return nil
			})
		}()
		next := func() *keepwardv1.WatchSessionsResponse {
			t.Helper()
			time.Sleep(2 * watchEvery)
			synctest.Wait()
			var last *keepwardv1.WatchSessionsResponse
			for len(got) > 0 {
				m := <-got
				if last == nil {
					last = m
				} else {
					last.Sessions, last.Gone = append(last.Sessions, m.Sessions...), append(last.Gone, m.Gone...)
				}
			}
			return last
		}
		if m := next(); !m.GetWhole() || len(m.GetSessions()) != 1 || m.GetSessions()[0].GetId() != first {
			t.Fatalf("at first: %v", m)
		}
		if m := next(); m != nil {
			t.Errorf("nothing has changed, and it is told: %v", m)
		}
		second := w.run()
		if m := next(); m.GetWhole() || len(m.GetGone()) != 0 || len(m.GetSessions()) == 0 || m.GetSessions()[0].GetId() != second {
			t.Errorf("a new one: %v", m)
		}
		w.finish("web1")
		m := next()
		if len(m.GetGone()) != 1 || m.GetGone()[0] != first {
			t.Errorf("gone are %v", m.GetGone())
		}
		found := map[int64]string{}
		for _, s := range m.GetSessions() {
			found[s.GetId()] = s.GetStatus()
		}
		if found[first] != string(job.Completed) || found[second] != string(job.Running) {
			t.Errorf("the one that is over and the one that waited stand as %v", found)
		}
		stop()
		if err := <-ended; err == nil {
			t.Error("it ended by itself")
		}
	})
}

func TestARunningSessionSaysWhenItIsDone(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		time.Sleep(time.Minute)
		w.progress("web1", attempt, &keepwardv1.Counters{DoneBytes: 25, TotalBytes: 100})
		if left := time.Until(w.session(id).GetDoneAbout().AsTime()); left != 3*time.Minute {
			t.Errorf("it has %s left, want three minutes", left)
		}
		w.finish("web1")
		if s := w.session(id); s.GetDoneAbout() != nil {
			t.Errorf("what is over will be done at %s", s.GetDoneAbout().AsTime())
		}
	})
}
