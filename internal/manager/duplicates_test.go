package manager

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"connectrpc.com/connect"
	"pgregory.net/rapid"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// setDuplicates gives the job of web1 and web2 a policy.
func (w *world) setDuplicates(policy string) {
	w.t.Helper()
	j := theJobOf("web1", "web2")
	j.Duplicates = policy
	w.setJob(j)
}

func TestASecondSessionWaitsForTheWholeFirstOne(t *testing.T) {
	for policy, want := range map[string]job.Status{"": job.Queued, job.DuplicatesQueue: job.Queued, job.DuplicatesAllow: job.Running} {
		t.Run(policy, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.setDuplicates(policy)
				w.connect()
				first := w.run()
				w.finish("web1")
				second := w.run()
				task := w.session(second).GetTasks()[0]
				if job.Status(task.GetStatus()) != want {
					t.Errorf("web1 is %s (%s) while web2 runs, want %s", task.GetStatus(), task.GetReason().GetText(), want)
				}
				if s := w.session(second).GetTasks()[1].GetStatus(); s != string(job.Queued) {
					t.Errorf("a computer is backed up by two sessions at once: %s", s)
				}
				w.finish("web2")
				w.expect(first, job.Completed, "")
				w.expect(second, job.Running, "")
			})
		})
	}
}

// A computer that is switched off must not end the backups of the others.
func TestASecondSessionDoesNotWaitForWhatIsSwitchedOff(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setDuplicates(job.DuplicatesQueue)
		w.agentUp("web1")
		w.transportUp()
		first := w.run()
		w.finish("web1")
		w.expect(first, job.Waiting, job.AgentOffline)
		second := w.run()
		if s := w.session(second).GetTasks(); s[0].GetStatus() != string(job.Running) || s[1].GetStatus() != string(job.Queued) {
			t.Errorf("tasks are %s and %s", s[0].GetStatus(), s[1].GetStatus())
		}
	})
}

func TestTheNewDuplicateIsRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setDuplicates(job.DuplicatesCancelNew)
		w.connect()
		first := w.run()
		if _, err := w.m.RunJob(t.Context(), theJob, false); errs.CodeOf(err) != "job.duplicate" || errs.KindOf(err) != errs.Busy {
			t.Errorf("a second session was started: %v", err)
		}
		if got := w.newest().GetId(); got != first {
			t.Errorf("session %d was made", got)
		}
		second := w.scheduled()
		w.expect(second, job.FailedToStart, "")
		if s := w.session(second); s.GetFailure().GetCode() != "job.duplicate" || s.GetEnded() == nil || s.GetRetryAt() != nil {
			t.Errorf("the refused session is %v", s)
		}
		w.expect(first, job.Running, "")
		w.finish("web1")
		w.finish("web2")
		w.expect(w.run(), job.Running, "")
	})
}

func TestTheRunningDuplicateIsKilled(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Duplicates = job.DuplicatesCancelRunning
		w.setJob(j)
		w.connect()
		first := w.run()
		attempt := w.agents["web1"].only(t)
		second := w.run()
		w.expect(first, job.KillPending, "")
		w.expect(second, job.Queued, job.Conflict)
		w.obeyStop(attempt)
		w.expect(first, job.Killed, "")
		w.expect(second, job.Running, "")
	})
}

func TestTheDuplicateOfTheLowerLevelIsCancelled(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Duplicates = job.DuplicatesCancelLower
		w.setJob(j)
		w.connect()
		first := w.run()
		second := w.run()
		w.expect(second, job.Queued, job.Conflict) // of the same level
		full, err := w.m.RunJob(t.Context(), theJob, true)
		w.must(err)
		w.expect(first, job.KillPending, "")
		w.expect(second, job.Killed, "")
		w.expect(full, job.Queued, job.Conflict)
		if _, err := w.m.RunJob(t.Context(), theJob, false); errs.CodeOf(err) != "job.duplicate" {
			t.Errorf("an incremental was started beside a full: %v", err)
		}
	})
}

func TestASessionStartedSuspended(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id, err := w.m.RunJobWith(t.Context(), theJob, RunOptions{Suspended: true})
		w.must(err)
		w.expect(id, job.Suspended, "")
		w.reopen()
		w.connect()
		w.expect(id, job.Suspended, "")
		w.must(w.resume(id))
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestASessionStartedSuspendedCanBeKilled(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id, err := w.m.RunJobWith(t.Context(), theJob, RunOptions{Suspended: true})
		w.must(err)
		res, err := w.m.KillSession(t.Context(), connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
		w.must(err)
		synctest.Wait()
		if res.Msg.GetOver() {
			t.Error("it was said to be over")
		}
		w.expect(id, job.Killed, "")
	})
}

// Whatever waits behind whom, something can go on at any time, and whoever waits is told when it may
// look again.
func TestQueuedDuplicatesNeverStick(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		q := &queueing{t: rt, b: newBoard(), told: map[int64]bool{}, waits: map[string]int64{}}
		for i := range rapid.IntRange(1, 6).Draw(rt, "sessions") {
			for c := range rapid.IntRange(1, 3).Draw(rt, "computers") {
				q.add(int64(i+1), fmt.Sprint(c))
			}
		}
		for q.look(); len(q.live) > 0; q.look() {
			q.step(rapid.IntRange(0, len(q.live)-1).Draw(rt, "task"))
		}
	})
}

// queueing is the tasks of one job that queues its sessions.
type queueing struct {
	t     *rapid.T
	b     *board
	live  []*task
	told  map[int64]bool
	waits map[string]int64
}

func (q *queueing) add(session int64, computer string) {
	t := &task{typ: job.Backup, job: "j", queues: true, row: catalog.Task{
		ID: fmt.Sprint(session, "/", computer), Session: session, Computer: computer, Repository: "r", Status: job.Queued,
	}}
	q.b.add(t)
	q.live = append(q.live, t)
}

// look asks for every task in the queue what it waits for.
func (q *queueing) look() {
	stuck := len(q.live) > 0
	for _, t := range q.live {
		if t.row.Status != job.Queued || t.held() {
			stuck = false
			delete(q.waits, t.row.ID)
			continue
		}
		now := q.b.conflict(t)
		if q.waits[t.row.ID] != 0 && now == 0 && !q.told[t.row.Session] {
			q.t.Fatalf("task %s may start, and its session was not told", t.row.ID)
		}
		q.waits[t.row.ID] = now
		stuck = stuck && now != 0
	}
	if stuck {
		q.t.Fatalf("nobody can go on: %v", q.waits)
	}
	clear(q.told)
}

// step has a task begin, end, or meet with what keeps it.
func (q *queueing) step(i int) {
	t := q.live[i]
	turn := rapid.Bool().Draw(q.t, "turn")
	var held []int64
	switch {
	case turn && t.row.Reason != nil:
		t.row.Reason = nil
		held = q.b.note(t)
	case turn:
		code := job.AgentOffline
		if t.row.Status == job.Queued {
			code = job.OutsideWindow
		}
		t.row.Reason = &keepwardv1.Reason{Code: string(code)}
		held = q.b.note(t)
	case t.row.Status == job.Waiting:
		held = q.b.remove(t)
		q.live = slices.Delete(q.live, i, i+1)
	case !t.held() && q.b.conflict(t) == 0:
		q.b.begin(t)
		t.row.Status, t.row.Reason = job.Waiting, nil
		held = q.b.note(t)
	}
	for _, s := range held {
		q.told[s] = true
	}
}
