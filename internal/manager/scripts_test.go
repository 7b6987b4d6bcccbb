package manager

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
)

var allAround = []string{"server-before", "agent-before web1", "agent-after web1", "server-after"}

func (w *world) ranAre(want ...string) {
	w.t.Helper()
	if d := cmp.Diff(want, w.ran()); d != "" {
		w.t.Errorf("scripts that ran (-want +got):\n%s", d)
	}
}

// statuses are those that the tasks of a session went through.
func (w *world) statuses(id int64) []string {
	w.t.Helper()
	events, err := catalog.Events(w.t.Context(), w.db.Read(), id, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		if e.GetCode() == "status" {
			out = append(out, e.GetTo())
		}
	}
	return out
}

func TestScriptsRunAroundABackupInTheirOrder(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := w.scripted(aroundPlaces...)
		w.setJob(j)
		w.connect()
		id := w.run()
		w.ranAre("server-before", "agent-before web1")
		w.is(id, job.Running, job.PhaseTransfer)
		attempt := w.finish("web1")
		w.is(id, job.Completed, job.PhaseFinish)
		w.ranAre(allAround...)
		if d := cmp.Diff([]string{"Queued", "Waiting", "Running", "Waiting", "Running", "Completed"}, w.statuses(id)); d != "" {
			t.Errorf("statuses (-want +got):\n%s", d)
		}
		task := w.session(id).GetTasks()[0].GetId()
		common := map[string]string{
			"KEEPWARD_JOB": theJob, "KEEPWARD_SESSION": "1", "KEEPWARD_REPOSITORY": theRepo, "KEEPWARD_FULL": "0", "KEEPWARD_STARTED_BY": "ann",
		}
		for name, own := range map[string]map[string]string{
			"server-before":     {"KEEPWARD_COMPUTERS": "web1"},
			"agent-before web1": {"KEEPWARD_COMPUTER": "web1", "KEEPWARD_TASK": task},
			"agent-after web1": {
				"KEEPWARD_COMPUTER": "web1", "KEEPWARD_TASK": task, "KEEPWARD_STATUS": "Completed", "KEEPWARD_RESULT": "Success",
				"KEEPWARD_FAILURE": "", "KEEPWARD_POINT": attempt,
			},
			"server-after": {"KEEPWARD_COMPUTERS": "web1", "KEEPWARD_STATUS": "Completed", "KEEPWARD_RESULT": "Success", "KEEPWARD_FAILURE": ""},
		} {
			own["KEEPWARD_PLACE"] = strings.Fields(name)[0]
			for k, v := range common {
				own[k] = v
			}
			if d := cmp.Diff(own, w.scripts.vars[name]); d != "" {
				t.Errorf("variables of %s (-want +got):\n%s", name, d)
			}
		}
		for _, text := range []string{"server-before: said by server-before", "agent-after: said by agent-after"} {
			if !strings.Contains(w.log(id), text) {
				t.Errorf("the log lacks %q:\n%s", text, w.log(id))
			}
		}
	})
}

func TestPrepareHoldsNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(job.AgentBefore))
		w.hold(job.AgentBefore)
		w.connect()
		id := w.run()
		w.is(id, job.Running, job.PhasePrepare)
		w.pass(8 * time.Minute) // no limit of the manager's is in its way
		w.is(id, job.Running, job.PhasePrepare)
		if err := w.suspend(id); err == nil {
			t.Error("the phase prepare was suspended")
		}
		w.release()
		w.is(id, job.Running, job.PhaseTransfer)
		w.ranAre("agent-before web1")
	})
}

func TestScriptsAfterRunWhateverBecameOfTheBackup(t *testing.T) {
	type end struct {
		status  job.Status
		failure string
	}
	for _, c := range []struct {
		name string
		do   func(w *world, id int64)
		want end
	}{
		{"failure", func(w *world, _ int64) {
			attempt := w.agents["web1"].only(w.t)
			w.agents["web1"].restart()
			w.end(agentOf("web1"), attempt, failed("invalid", "no such folder"))
			w.end(transportOf(theNode), attempt, &keepwardv1.AttemptEnd{Outcome: outcomeAborted})
		}, end{job.Failed, "no such folder"}},
		{"kill", func(w *world, id int64) {
			attempt := w.agents["web1"].only(w.t)
			w.killSession(id, "")
			w.obeyStop(attempt)
		}, end{job.Killed, ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.setJob(w.scripted(aroundPlaces...))
				w.connect()
				id := w.run()
				c.do(w, id)
				w.is(id, c.want.status, job.PhaseFinish)
				w.ranAre(allAround...)
				for _, name := range allAround[2:] {
					v := w.scripts.vars[name]
					if got := (end{job.Status(v["KEEPWARD_STATUS"]), v["KEEPWARD_FAILURE"]}); got != c.want {
						t.Errorf("%s was told %v, want %v", name, got, c.want)
					}
				}
			})
		})
	}
}

func TestAScriptBeforeThatFails(t *testing.T) {
	for _, p := range befores {
		for _, c := range []struct {
			name, code string
			goOn       bool
			want       job.Status
		}{
			{"ends the task", "script.failed", false, job.Failed},
			{"is a warning where the job says so", "script.failed", true, job.CompletedWithWarnings},
			{"is a warning where its end is lost", "script.lost", false, job.CompletedWithWarnings},
		} {
			t.Run(string(p)+" "+c.name, func(t *testing.T) {
				site(t, func(t *testing.T, w *world) {
					j := w.scripted(aroundPlaces...)
					scriptOf(j.Scripts, p).GoOn = c.goOn
					w.setJob(j)
					w.failAt(p, c.code)
					w.connect()
					id := w.run()
					if c.want != job.Failed {
						w.finish("web1")
					}
					w.is(id, c.want, job.PhaseFinish)
					want := allAround
					if c.want == job.Failed && p == job.ServerBefore {
						want = []string{"server-before", "server-after"} // nothing was begun on the computer
					}
					w.ranAre(want...)
					if c.want == job.Failed {
						if f := w.session(id).GetFailure(); f.GetCode() != c.code {
							t.Errorf("failed with %v", f)
						}
						if n := len(w.transports[theNode].started); n != 0 {
							t.Errorf("%d movers were started", n)
						}
					}
				})
			})
		}
	}
}

func TestAScriptAfterThatFailsIsAWarning(t *testing.T) {
	for _, p := range []job.Place{job.AgentAfter, job.ServerAfter} {
		site(t, func(t *testing.T, w *world) {
			w.setJob(w.scripted(aroundPlaces...))
			w.failAt(p, "script.failed")
			w.connect()
			id := w.run()
			w.finish("web1")
			w.is(id, job.CompletedWithWarnings, job.PhaseFinish)
			if len(w.points()) != 1 {
				t.Error("the restore point is gone")
			}
			w.ranAre(allAround...)
		})
	}
}

func TestThePointIsThereBeforeTheScriptsAfterItRun(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(aroundPlaces...))
		w.hold(job.AgentAfter)
		w.connect()
		id := w.run()
		w.finish("web1")
		w.is(id, job.Running, job.PhaseFinish)
		if len(w.points()) != 1 {
			t.Fatal("there is no restore point yet")
		}
		next := w.run() // the same job: it must not begin before the first is over
		w.expect(next, job.Queued, job.Conflict)
		w.killSession(id, "") // ends the script, not the backup
		w.pass(time.Minute)
		w.expect(id, job.CompletedWithWarnings, "")
		if !slices.Contains(w.stoppedScripts(), "agent-after web1") {
			t.Error("the script was not stopped")
		}
	})
}

func TestKillEndsAScriptBeforeAndRunsThoseAfter(t *testing.T) {
	for _, p := range befores {
		t.Run(string(p), func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.setJob(w.scripted(aroundPlaces...))
				w.hold(p)
				w.connect()
				id := w.run()
				w.is(id, job.Running, job.PhasePrepare)
				w.killSession(id, "")
				w.pass(time.Minute)
				w.is(id, job.Killed, job.PhaseFinish)
				want := allAround
				if p == job.ServerBefore {
					want = []string{"server-before", "server-after"}
				}
				w.ranAre(want...)
				if len(w.stoppedScripts()) != 1 {
					t.Errorf("stopped were %v", w.stoppedScripts())
				}
			})
		})
	}
}

func TestWhatNeverBeganNeedsNoScriptAfter(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(aroundPlaces...))
		id := w.run() // nobody is connected
		w.expect(id, job.Waiting, job.AgentOffline)
		w.killSession(id, "")
		w.expect(id, job.Killed, "")
		w.ranAre()
	})
}

func TestScriptsOfTheServerRunOnceForAllComputers(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := w.scripted(aroundPlaces...)
		j.Computers = []string{"web1", "web2"}
		w.setJob(j)
		w.hold(job.ServerBefore)
		w.connect()
		id := w.run()
		w.is(id, job.Running, job.PhasePrepare)
		w.ranAre("server-before")
		w.release()
		both := slices.Sorted(slices.Values(w.ran()[1:])) // they begin beside each other
		if d := cmp.Diff([]string{"agent-before web1", "agent-before web2"}, both); d != "" {
			t.Errorf("scripts of the computers (-want +got):\n%s", d)
		}
		w.finish("web2")
		w.is(id, job.Running, job.PhaseTransfer)
		w.finish("web1")
		w.is(id, job.Completed, job.PhaseFinish)
		if d := cmp.Diff([]string{"agent-after web2", "agent-after web1", "server-after"}, w.ran()[3:]); d != "" {
			t.Errorf("scripts after it (-want +got):\n%s", d)
		}
	})
}

func TestAFailureOnTheServerEndsComputersThatAreNotThere(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := w.scripted(aroundPlaces...)
		j.Computers = []string{"web1", "web2"}
		w.setJob(j)
		w.failAt(job.ServerBefore, "script.failed")
		w.hold(job.ServerAfter)
		w.transportUp()
		w.agentUp("web1")
		id := w.run()
		w.is(id, job.Running, job.PhaseFinish) // of the last task, which had waited
		w.ranAre("server-before", "server-after")
		w.release()
		w.expect(id, job.Failed, "")
		if f := w.session(id).GetFailure(); f.GetCode() != "script.failed" {
			t.Errorf("failed with %v", f)
		}
	})
}

func TestARestartOfTheServerRunsNoScriptTwice(t *testing.T) {
	for _, c := range []struct {
		place job.Place
		want  job.Status
	}{
		{job.ServerBefore, job.CompletedWithWarnings}, // it ran in the server, and went with it
		{job.AgentBefore, job.Completed},
		{job.AgentAfter, job.Completed},
		{job.ServerAfter, job.CompletedWithWarnings},
	} {
		t.Run(string(c.place), func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.setJob(w.scripted(aroundPlaces...))
				w.hold(c.place)
				w.connect()
				id := w.run()
				if !slices.Contains(befores, c.place) {
					w.finish("web1")
				}
				w.reopen()
				w.connect()
				w.release()
				w.pass(2 * time.Minute)
				if slices.Contains(befores, c.place) {
					w.finish("web1")
				}
				w.is(id, c.want, job.PhaseFinish)
				w.ranAre(allAround...)
				if len(w.points()) != 1 {
					t.Errorf("there are %d restore points", len(w.points()))
				}
			})
		})
	}
}

func TestAnAgentThatGoesAwayDuringItsScriptIsAskedAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(job.AgentBefore))
		w.hold(job.AgentBefore)
		w.connect()
		id := w.run()
		w.agentDown("web1")
		w.pass(time.Minute)
		w.expect(id, job.Waiting, job.AgentOffline)
		w.pass(time.Hour)
		w.expect(id, job.Waiting, job.AgentOffline)
		w.agentUp("web1")
		w.is(id, job.Running, job.PhasePrepare)
		w.release()
		w.is(id, job.Running, job.PhaseTransfer)
		w.ranAre("agent-before web1")
	})
}

func TestAnAgentThatStaysAwayDoesNotKeepABackupFromItsEnd(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(job.AgentAfter))
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.agentDown("web1")
		w.moverCommits(attempt)
		w.pass(2 * time.Minute)
		w.is(id, job.RunningUnverified, job.PhaseFinish)
		w.pass(6 * time.Minute)
		w.is(id, job.CompletedWithWarnings, job.PhaseFinish)
		w.ranAre()
	})
}

func TestFreezeScriptsGoWithTheOrder(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(job.PreFreeze, job.PostThaw, job.ServerAfter))
		w.connect()
		w.run()
		order := w.agents["web1"].backups[w.agents["web1"].only(t)]
		s := order.GetScripts()
		if s.GetPreFreeze().GetPath() != "/pre-freeze" || s.GetPostThaw().GetPath() != "/post-thaw" || s.GetServerAfter() != nil {
			t.Errorf("the order has the scripts %v", s)
		}
		if v := order.GetScriptVariables(); v[job.VarPlace] != "pre-freeze" || v[job.VarComputer] != "web1" {
			t.Errorf("the order has the variables %v", v)
		}
	})
}

func TestARuleOfTheQueueKeepsATaskWhoseAgentIsAwaited(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(job.AgentBefore))
		w.transportUp()
		id := w.run()
		w.expect(id, job.Waiting, job.AgentOffline)
		w.pauseServer()
		w.expect(id, job.Queued, job.ServerPaused)
		w.agentUp("web1")
		w.expect(id, job.Queued, job.ServerPaused)
		w.ranAre()
		w.resumeServer()
		w.is(id, job.Running, job.PhaseTransfer)
		w.ranAre("agent-before web1")
	})
}

func TestARuleOfTheQueueHoldsAfterPrepare(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(job.AgentBefore))
		w.hold(job.AgentBefore)
		w.connect()
		id := w.run()
		w.pauseServer()
		w.is(id, job.Running, job.PhasePrepare) // what runs goes on
		w.release()
		w.expect(id, job.Queued, job.ServerPaused)
		w.resumeServer()
		w.is(id, job.Running, job.PhaseTransfer)
		w.ranAre("agent-before web1")
	})
}

func TestTheLimitOfRunningTimeLeavesTheScriptsAfterIt(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("total_running_time_limit", "on")
		w.setJob(w.scripted(aroundPlaces...))
		w.hold(job.AgentAfter)
		w.connect()
		id := w.run()
		w.finish("web1")
		w.pass(7 * time.Hour) // they have limits of their own
		w.is(id, job.Running, job.PhaseFinish)
		w.release()
		w.is(id, job.Completed, job.PhaseFinish)
		w.ranAre(allAround...)
	})
}

func TestTheLimitOfRunningTimeEndsAScriptBefore(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("total_running_time_limit", "on")
		w.setting("total_running_time_end", "commit")
		w.setJob(w.scripted(aroundPlaces...))
		w.hold(job.AgentBefore)
		w.connect()
		id := w.run()
		w.pass(7 * time.Hour)
		w.is(id, job.Killed, job.PhaseFinish)
		w.ranAre(allAround...)
	})
}
