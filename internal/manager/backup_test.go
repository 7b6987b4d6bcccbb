package manager

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/repo/point"
)

func TestBackupIsCompletedOnlyWithItsPoint(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		w.expect(id, job.Running, "")
		attempt := w.agents["web1"].only(t)

		w.agentDone("web1", attempt, &keepwardv1.Counters{DoneFiles: 3})
		w.expect(id, job.Running, "") // the agent's word is not the mover's
		if len(w.points()) != 0 {
			t.Fatal("there is a point that no mover has told of")
		}
		w.moverCommits(attempt)
		w.expect(id, job.Completed, "")

		points := w.points()
		if len(points) != 1 || points[0].GetId() != attempt || points[0].GetJob() != theJob || points[0].GetComputer() != "web1" || !points[0].GetFull() {
			t.Errorf("catalog has points %v", points)
		}
		if c := points[0].GetCounters(); c.GetDoneFiles() != 3 || c.GetStoredBytes() != 7 {
			t.Errorf("the point's counters are %v", c)
		}
		if got := w.session(id).GetTasks()[0].GetPoint(); got != attempt {
			t.Errorf("the task's point is %q, want %q", got, attempt)
		}
	})
}

func TestOrdersCarryWhatTheAttemptMayUse(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		first := w.finish("web1")
		id := w.run()
		attempt := w.agents["web1"].only(t)
		mover, order := w.transports[theNode].movers[attempt], w.agents["web1"].backups[attempt]

		if diff := cmp.Diff([]string{first}, mover.GetReadablePoints()); diff != "" {
			t.Errorf("readable points (-want +got):\n%s", diff)
		}
		if order.GetParent() != first || order.GetMover().GetAddress() != "host1:7481" || mover.GetAgent() != "web1" || mover.GetMode() != "backup" {
			t.Errorf("orders do not fit together: %v and %v", mover, order)
		}
		if mover.GetKeys().GetComputersKey() != nil || mover.GetKeys().GetIssueKey() != nil || order.GetKeys().GetIssueKey() != nil {
			t.Error("an order carries keys that its task does not need")
		}
		name, _ := point.ParseAttempt(attempt)
		issue, err := point.OpenIssue(w.master.IssueKey(), &point.Point{RepositoryID: [16]byte{1}, Attempt: name, Issue: mover.GetIssue()})
		if err != nil {
			t.Fatal(err)
		}
		if issue.Computer != "web1" || issue.Job != theJob || issue.Session != id || issue.Parent.String() != first || issue.Full {
			t.Errorf("the issue says %+v", issue)
		}
		w.finish("web1")
		if p := w.points()[0]; p.GetParent() != first || p.GetFull() {
			t.Errorf("the second point is %v", p)
		}
	})
}

func TestFullBackupHasNoParent(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run()
		w.finish("web1")
		if _, err := w.m.RunJob(t.Context(), theJob, true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		attempt := w.agents["web1"].only(t)
		if order := w.agents["web1"].backups[attempt]; order.GetParent() != "" || !order.GetFull() {
			t.Errorf("a full backup was ordered with parent %q, full %v", order.GetParent(), order.GetFull())
		}
	})
}

func TestEveryThirdRunReadsAll(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		j := theJobOf("web1")
		j.FullReadEvery = 3
		w.setJob(j)
		var got []bool
		for range 8 {
			id := w.run()
			got = append(got, w.agents["web1"].backups[w.agents["web1"].only(t)].GetFull())
			w.finish("web1")
			if said := strings.Contains(w.log(id), "backup.full-read"); said != got[len(got)-1] {
				t.Errorf("session %d is full: %v, its log says so: %v", id, got[len(got)-1], said)
			}
		}
		// The first one has no parent and needs no word.
		if want := []bool{false, false, false, true, false, false, true, false}; !slices.Equal(got, want) {
			t.Errorf("full: %v, want %v", got, want)
		}
	})
}

func TestResultTellsOfFilesThatFailed(t *testing.T) {
	for _, c := range []struct {
		name     string
		events   []*keepwardv1.Event
		counters *keepwardv1.Counters
		want     job.Status
		point    string
	}{
		{"errors reported", nil, &keepwardv1.Counters{Errors: 1, Warnings: 1}, job.CompletedWithErrors, "with errors"},
		{"errors in the log alone", []*keepwardv1.Event{{Level: "error", Code: "file.unreadable", Path: []byte("/srv/\xff")}}, nil, job.CompletedWithErrors, "with errors"},
		{"warnings", []*keepwardv1.Event{{Level: "warning", Code: "file.changed"}}, nil, job.CompletedWithWarnings, "complete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				id := w.run()
				attempt := w.agents["web1"].only(t)
				if err := w.m.Events(t.Context(), agentOf("web1"), attempt, c.events); err != nil {
					t.Fatal(err)
				}
				w.moverCommits(attempt)
				w.agentDone("web1", attempt, c.counters)
				w.expect(id, c.want, "")
				if got := w.points()[0].GetCompleteness(); got != c.point {
					t.Errorf("the point is %q, want %q", got, c.point)
				}
			})
		})
	}
}

func TestTwoTasksOneFailing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(theJobOf("web1", "web2"))
		w.connect()
		id := w.run()
		bad := w.agents["web2"].only(t)
		w.end(agentOf("web2"), bad, failed("invalid", "none of the include paths exists"))
		w.end(transportOf(theNode), bad, failed("unavailable", "the agent went away"))
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.CompletedWithErrors, "")
		s := w.session(id)
		if s.GetTasks()[1].GetStatus() != string(job.Failed) || s.GetTasks()[1].GetFailure().GetMessage() != "none of the include paths exists" {
			t.Errorf("the failed task is %v", s.GetTasks()[1])
		}
		if w.transports[theNode].names[bad] != "tombstone" {
			t.Error("the failed attempt was not cut off")
		}
	})
}

func TestSecondEndOfASideChangesNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.finish("web1")
		w.end(agentOf("web1"), attempt, failed("internal", "another word"))
		w.end(transportOf(theNode), attempt, failed("internal", "another word"))
		w.expect(id, job.Completed, "")
		if len(w.points()) != 1 {
			t.Errorf("catalog has %d points, want 1", len(w.points()))
		}
	})
}

func TestALineOfANodeIsBoundedInAllItsParts(t *testing.T) {
	raw := &keepwardv1.Event{
		Text: strings.Repeat("t", 1<<20), Code: strings.Repeat("c", 1<<20), Path: bytes.Repeat([]byte("p"), 1<<20),
		PathText: "p", Level: strings.Repeat("l", 1<<20), From: "Queued", To: "Completed", Actor: "admin", Session: 7, Part: "server",
	}
	line := clean(raw, &task{row: catalog.Task{ID: "t", Session: 1}}, partAgent, time.Now())
	if n := proto.Size(line); n > maxText+maxCode+maxPath+100 {
		t.Errorf("a line of %d bytes is kept", n)
	}
	if line.Session != 1 || line.Part != "agent" || line.Actor+line.From+line.To+line.PathText != "" {
		t.Errorf("a node's word was believed: %v", line)
	}
}

func TestEndOfAStrangerIsRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		if err := w.m.End(t.Context(), agentOf("web2"), attempt, done(nil)); err == nil {
			t.Error("an agent ended the task of another")
		}
		w.expect(id, job.Running, "")
	})
}
