package manager

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func (w *world) show(id int64) *keepwardv1.Session {
	w.t.Helper()
	res, err := w.m.GetSession(w.t.Context(), connect.NewRequest(&keepwardv1.GetSessionRequest{Id: id}))
	w.must(err)
	return res.Msg.GetSession()
}

func (w *world) resources(kind, name string) []*keepwardv1.Resource {
	w.t.Helper()
	res, err := w.m.ListResources(w.t.Context(), connect.NewRequest(&keepwardv1.ListResourcesRequest{Kind: kind, Name: name}))
	w.must(err)
	return res.Msg.GetResources()
}

func (w *world) prioritise(id int64, priority int32) error {
	w.t.Helper()
	_, err := w.m.SetSessionPriority(w.t.Context(), connect.NewRequest(&keepwardv1.SetSessionPriorityRequest{Id: id, Priority: priority}))
	synctest.Wait()
	return err
}

func (w *world) progress(name, attempt string, n *keepwardv1.Counters) {
	w.t.Helper()
	w.must(w.m.Progress(w.t.Context(), agentOf(name), attempt, &keepwardv1.Progress{Counters: n}))
	synctest.Wait()
}

func TestAWaitNamesWhoIsInTheWayAndUntilWhen(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.oneStream()
		w.connect()
		id := w.run()
		next := w.run()
		w.pass(time.Minute)
		attempt := w.agents["web1"].only(t)
		w.progress("web1", attempt, &keepwardv1.Counters{DoneBytes: 1 << 20, TotalBytes: 4 << 20})

		waits := w.show(id).GetWaits()
		if len(waits) != 1 || waits[0].GetComputer() != "web2" || waits[0].GetReason().GetCode() != string(job.StreamsShort) {
			t.Fatalf("of the session that runs: %v", waits)
		}
		r := waits[0].GetResources()
		if len(r) != 1 || r[0].GetKind() != "stream" || r[0].GetUsed() != 1 || len(r[0].GetHolders()) != 1 {
			t.Fatalf("what it lacks: %v", r)
		}
		h := r[0].GetHolders()[0]
		if h.GetSession() != id || h.GetComputer() != "web1" || h.GetStatus() != string(job.Running) {
			t.Errorf("who has it: %v", h)
		}
		if left := time.Until(h.GetUntil().AsTime()); left < 2*time.Minute || left > 4*time.Minute {
			t.Errorf("a quarter is done in a minute, the rest is to take %v", left)
		}

		waits = w.show(next).GetWaits()
		if len(waits) != 2 || len(waits[0].GetSessions()) != 1 || waits[0].GetSessions()[0].GetSession() != id {
			t.Errorf("of the session behind it: %v", waits)
		}
		streams := w.resources("stream", "")
		if len(streams) != 1 || len(streams[0].GetHolders()) != 1 || len(streams[0].GetWaiters()) != 1 || streams[0].GetWaiters()[0].GetComputer() != "web2" {
			t.Errorf("the stream: %v", streams)
		}
		if all := w.resources("", ""); len(all) != 4 {
			t.Errorf("a stream, a writer and two computers, got %v", all)
		}
		_, err := w.m.ListResources(t.Context(), connect.NewRequest(&keepwardv1.ListResourcesRequest{Name: "nothing"}))
		if errs.CodeOf(err) != "resource.unknown" {
			t.Errorf("an unknown resource: %v", err)
		}
	})
}

func TestAPriorityThatIsChangedMovesTheSession(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		first := w.verify()
		second := w.verify()
		third := w.verify()
		w.expect(second, job.Waiting, job.StreamsShort)
		w.must(w.prioritise(third, 500))
		if s := w.show(third); s.GetPriority() != 500 || s.GetWaits()[0].GetAhead() != 0 || w.show(second).GetWaits()[0].GetAhead() != 1 {
			t.Errorf("the third is not before the second: %v", s)
		}
		w.reopen()
		w.connect()
		if s := w.show(third); s.GetPriority() != 500 {
			t.Errorf("the server forgot the priority: %v", s)
		}
		attempt := w.transports[theNode].started[0].GetOrder().GetAttempt()
		w.end(transportOf(theNode), attempt, done(nil))
		w.expect(first, job.Completed, "")
		w.expect(third, job.Running, "")
		w.expect(second, job.Waiting, job.StreamsShort)
		for _, bad := range []int32{-1, 1000} {
			if err := w.prioritise(second, bad); errs.CodeOf(err) != "session.priority" {
				t.Errorf("priority %d: %v", bad, err)
			}
		}
		if err := w.prioritise(first, 1); errs.CodeOf(err) != "session.over" {
			t.Errorf("priority of what is over: %v", err)
		}
	})
}

// What a task lacks besides what the broker looks at first is drawn too: the sentence may be about it.
func TestAWaitShowsAllThatIsLacking(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		first := w.run()
		other := theJobOf("web1")
		other.Name = "other"
		w.setJob(other)
		id, err := w.m.RunJob(t.Context(), "other", false)
		w.must(err)
		w.expect(id, job.Waiting, job.StreamsShort)
		kinds := map[string]int64{}
		for _, r := range w.show(id).GetWaits()[0].GetResources() {
			for _, h := range r.GetHolders() {
				kinds[r.GetKind()] = h.GetSession()
			}
		}
		if kinds["stream"] != first || kinds["client"] != first || len(kinds) != 2 {
			t.Errorf("it lacks a stream and the slot of its computer, and is shown to lack %v", kinds)
		}
		for _, kind := range []string{"stream", "client"} {
			waiting := 0
			for _, r := range w.resources(kind, "") {
				waiting += len(r.GetWaiters())
			}
			if waiting != 1 {
				t.Errorf("%d wait for a %s, want 1", waiting, kind)
			}
		}
	})
}

// What was taken out of the configuration is nothing that a task could hold.
func TestWhatWasRemovedIsNoResource(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.write(func(ctx context.Context, tx *sql.Tx) error {
			return errors.Join(
				catalog.RemoveComputer(ctx, tx, "web2"),
				catalog.DeleteJob(ctx, tx, theJob),
				catalog.ForgetRepository(ctx, tx, theRepo),
			)
		})
		w.m.ConfigChanged()
		synctest.Wait()
		w.m.NodeOffline(agentOf("web2")) // its link is cut after that
		w.m.NodeOffline(agentOf("web1")) // and this one goes by itself
		synctest.Wait()
		all := w.resources("", "")
		if len(all) != 1 || all[0].GetName() != "web1" {
			t.Errorf("only web1 is left, got %v", all)
		}
	})
}
