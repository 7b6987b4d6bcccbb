package manager

import (
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// commit ends a session and keeps what it has written.
func (w *world) commit(id int64, task string) {
	w.t.Helper()
	_, err := w.m.KillSession(w.t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id, Task: task, Commit: true}))
	w.must(err)
	synctest.Wait()
}

// moverKeeps puts a partial point, as a mover does whose agent was told to end early.
func (w *world) moverKeeps(attempt string) {
	w.t.Helper()
	w.mu.Lock()
	t := w.transports[theNode]
	free := t.names[attempt] == ""
	if free {
		t.names[attempt] = "partial"
	}
	delete(t.movers, attempt)
	w.mu.Unlock()
	if !free {
		w.t.Fatal("the attempt was fenced")
	}
	w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{
		Outcome: outcomeDone, Committed: true, Point: &keepwardv1.PointSummary{Id: attempt, Partial: true, Completeness: "unfinished"},
	})
}

// wantPartial checks that the one point is partial, and that nothing takes it for the latest.
func (w *world) wantPartial(attempt string) {
	w.t.Helper()
	p := w.points()
	if len(p) != 1 || p[0].GetId() != attempt || !p[0].GetPartial() || p[0].GetCompleteness() != "unfinished" {
		w.t.Fatalf("points: %v", p)
	}
	if _, err := w.m.findPoint(w.t.Context(), latest, "web1"); errs.CodeOf(err) != "point.unknown" {
		w.t.Errorf("the latest point is found: %v", err)
	}
	if got, err := w.m.findPoint(w.t.Context(), attempt, ""); err != nil || got.GetId() != attempt {
		w.t.Errorf("by its id it is %v, %v", got, err)
	}
}

func TestKillWithCommitHasTheAgentEndEarly(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.commit(id, "")
		w.commit(id, "") // twice is once
		w.expect(id, job.KillPending, "")
		if a, m := w.agents["web1"], w.transports[theNode]; len(a.early) != 1 || len(a.stops) != 0 || len(m.stops) != 0 {
			t.Fatalf("the agent was told to end early %d times and to stop %d times, the mover to stop %d times", len(a.early), len(a.stops), len(m.stops))
		}
		w.moverKeeps(attempt)
		w.agentDone("web1", attempt, nil)
		w.expect(id, job.Committed, "")
		w.wantPartial(attempt)

		w.run()
		next := w.agents["web1"].backups[w.agents["web1"].only(t)]
		if next.GetParent() != "" {
			t.Errorf("a partial point became the parent of the next backup: %s", next.GetParent())
		}
	})
}

// What is complete when the order to end comes is complete.
func TestKillWithCommitThatComesTooLate(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.commit(id, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
		if p := w.points(); len(p) != 1 || p[0].GetPartial() {
			t.Errorf("points: %v", p)
		}
	})
}

func TestKillWithCommitWithoutTheAgentKeepsTheCheckpoint(t *testing.T) {
	for name, lose := range map[string]func(w *world, attempt string){
		"offline":   func(w *world, _ string) { w.agentDown("web1") },
		"restarted": func(w *world, _ string) { w.agents["web1"].restart(); w.pass(time.Minute) },
		"failed":    func(w *world, a string) { w.end(agentOf("web1"), a, failed(errs.Unavailable, "gone")) },
		"silent":    func(w *world, _ string) { w.pass(6 * time.Minute) },
	} {
		for _, checkpoint := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				site(t, func(t *testing.T, w *world) {
					w.transports[theNode].checkpoint = checkpoint
					w.connect()
					id := w.run()
					attempt := w.agents["web1"].only(t)
					w.commit(id, "")
					w.expect(id, job.KillPending, "")
					lose(w, attempt)
					if !checkpoint {
						w.expect(id, job.Killed, "")
						if len(w.points()) != 0 {
							t.Errorf("points: %v", w.points())
						}
						return
					}
					w.expect(id, job.Committed, "")
					w.wantPartial(attempt)
					if w.moverCommits(attempt) {
						t.Error("the mover could still commit")
					}
				})
			})
		}
	}
}

func TestKillWithCommitOutlivesTheServer(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.commit(id, "")
		w.reopen()
		w.connect()
		w.expect(id, job.KillPending, "")
		if n := len(w.agents["web1"].early); n < 2 {
			t.Errorf("the agent was told %d times", n)
		}
		w.moverKeeps(attempt)
		w.agentDone("web1", attempt, nil)
		w.expect(id, job.Committed, "")
		w.wantPartial(attempt)
	})
}

// Nobody could settle it: what stands there is found when the transport is back.
func TestKillWithCommitThatCannotReachTheTransport(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.transports[theNode].checkpoint = true
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.transportDown()
		w.commit(id, "")
		w.pass(6 * time.Minute)
		w.expect(id, job.Killed, "")
		w.transportUp()
		w.expect(id, job.Killed, "")
		w.wantPartial(attempt)
	})
}

func TestKillWithCommitWhileParkedKeepsNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run() // nobody is online
		w.expect(id, job.Waiting, job.TransportOffline)
		w.commit(id, "")
		w.expect(id, job.Killed, "")
	})
}

func TestOnlyBackupsAreCommitted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.Check(t.Context(), &keepwardv1.CheckRepositoryRequest{Name: theRepo})
		w.must(err)
		synctest.Wait()
		_, err = w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id, Commit: true}))
		if errs.CodeOf(err) != "session.no-commit" {
			t.Errorf("a check was committed: %v", err)
		}
		w.expect(id, job.Running, "")
	})
}

func TestOneTaskIsCommittedAndTheOthersGoOn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.commit(id, "web1")
		w.moverKeeps(attempt)
		w.agentDone("web1", attempt, nil)
		w.expect(id, job.Running, "")
		w.finish("web2")
		w.expect(id, job.CompletedWithErrors, "")
		if s := w.session(id).GetTasks()[0].GetStatus(); s != string(job.Committed) {
			t.Errorf("the task that was ended early is %s", s)
		}
	})
}
