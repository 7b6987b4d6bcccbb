package manager

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// jobOf is a second job, with a schedule.
func jobOf(name, schedule string, computers ...string) *keepwardv1.Job {
	j := theJobOf(computers...)
	j.Name, j.Schedule = name, schedule
	return j
}

// of are the sessions of a job, the newest first.
func (w *world) of(name string) []*keepwardv1.Session {
	w.t.Helper()
	synctest.Wait()
	list, err := w.m.RecentSessions(w.t.Context(), name, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func TestAJobFollowsAnotherOnce(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(jobOf("mail", "after docs", "web2"))
		w.connect()
		w.run()
		w.pass(time.Minute)
		if n := len(w.of("mail")); n != 0 {
			t.Fatalf("it began before the other one was over: %d sessions", n)
		}
		w.finish("web1")
		list := w.of("mail")
		if len(list) != 1 || list[0].GetUser() != bySchedule || list[0].GetStatus() != string(job.Running) {
			t.Fatalf("what follows is %v", list)
		}
		w.finish("web2")
		w.pass(3 * endsLate)
		if n := len(w.of("mail")); n != 1 {
			t.Errorf("it followed %d times", n)
		}
		w.run()
		w.finish("web1")
		if n := len(w.of("mail")); n != 2 {
			t.Errorf("after a second session it has run %d times", n)
		}
	})
}

func TestWhatAChainGoesOnAfter(t *testing.T) {
	ways := map[string]func(w *world, id int64){
		"completed": func(w *world, _ int64) { w.finish("web1") },
		"killed": func(w *world, id int64) {
			attempt := w.agents["web1"].only(w.t)
			w.killSession(id, "")
			w.obeyStop(attempt)
		},
		"failed": func(w *world, _ int64) {
			attempt := w.agents["web1"].only(w.t)
			w.agents["web1"].restart()
			w.end(agentOf("web1"), attempt, failed(errs.Invalid, "no such path"))
			w.pass(time.Minute)
		},
		"refused": func(w *world, id int64) {
			attempt := w.agents["web1"].only(w.t)
			w.killSession(id, "")
			w.obeyStop(attempt)
			w.ended(job.FailedToStart)
			w.m.ConfigChanged()
			w.pass(time.Minute)
		},
	}
	for _, tt := range []struct {
		schedule, end string
		want          int
	}{
		{"after docs", "completed", 1},
		{"after docs", "failed", 1},
		{"after docs", "killed", 0},
		{"after docs", "refused", 0},
		{"after docs if completed", "completed", 1},
		{"after docs if completed", "failed", 0},
		{"after docs if completed", "killed", 0},
	} {
		t.Run(tt.schedule+", "+tt.end, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.setJob(jobOf("mail", tt.schedule, "web2"))
				w.connect()
				id := w.run()
				ways[tt.end](w, id)
				if s := job.Status(w.session(id).GetStatus()); !s.Final() {
					t.Fatalf("the first one is %s", s)
				}
				if n := len(w.of("mail")); n != tt.want {
					t.Errorf("%d sessions follow, want %d", n, tt.want)
				}
			})
		})
	}
}

// ended writes a session of the job that is over.
func (w *world) ended(status job.Status) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sql.Tx) error {
		s := catalog.Session{Job: theJob, Type: job.Backup, Status: status, Repository: theRepo, Created: time.Now(), Definition: "{}"}
		if err := catalog.AddSession(ctx, tx, &s); err != nil {
			return err
		}
		s.Ended = time.Now()
		return catalog.PutSession(ctx, tx, &s)
	})
}

func TestAChainGoesOnAfterACrash(t *testing.T) {
	for missed, want := range map[string]int{"": 1, missedSkip: 0} {
		t.Run("missed "+missed, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				j := jobOf("mail", "after docs", "web2")
				j.Missed = missed
				w.setJob(j)
				w.pass(2 * endsLate)
				w.kill()
				time.Sleep(time.Second)
				w.ended(job.Completed) // the last word of the server that died
				time.Sleep(time.Hour)
				w.start()
				w.connect()
				w.pass(time.Minute)
				if n := len(w.of("mail")); n != want {
					t.Errorf("%d sessions follow, want %d", n, want)
				}
			})
		})
	}
}

func TestAContinuousJobRunsAgainAfterItsEnd(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(jobOf(theJob, "continuously pause 5m", "web1"))
		w.connect()
		count := func(want int, when string) {
			t.Helper()
			if n := len(w.of(theJob)); n != want {
				t.Fatalf("%s: %d sessions, want %d", when, n, want)
			}
		}
		count(1, "at once")
		w.pass(20 * time.Minute)
		count(1, "while it runs")
		w.finish("web1")
		w.pass(5*time.Minute - time.Second)
		count(1, "in its pause")
		w.pass(time.Second)
		count(2, "after its pause")
		w.killSession(w.of(theJob)[0].GetId(), "")
		w.kill()
		time.Sleep(time.Hour)
		w.start()
		w.connect()
		w.pass(7 * time.Minute)
		w.pass(5 * time.Minute)
		count(3, "after a kill and a restart of the server")
	})
}

func TestAComputerThatComesOnlineIsBackedUp(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(jobOf(theJob, "when online at most every 4h", "web1", "web2"))
		w.transportUp()
		w.agentUp("web1")
		list := w.of(theJob)
		if len(list) != 1 || len(list[0].GetTasks()) != 1 || list[0].GetTasks()[0].GetComputer() != "web1" || list[0].GetUser() != bySchedule {
			t.Fatalf("the first to come has %v", list)
		}
		again := func(want int, when string) {
			t.Helper()
			w.agentDown("web1")
			w.agentUp("web1")
			if n := len(w.of(theJob)); n != want {
				t.Errorf("%s: %d sessions, want %d", when, n, want)
			}
		}
		again(1, "at once")
		w.finish("web1")
		again(1, "after its backup")
		w.agentUp("web2")
		if list := w.of(theJob); len(list) != 2 || list[0].GetTasks()[0].GetComputer() != "web2" {
			t.Errorf("the second to come has %v", list)
		}
		w.pass(4*time.Hour - time.Minute)
		again(2, "within its time")
		w.pass(2 * time.Minute)
		again(3, "after its time")
		again(3, "while that runs")
		w.pass(5 * time.Hour)
		again(3, "while that runs, hours later")
	})
}

func TestRunsOfOneJobAreJoined(t *testing.T) {
	jobs := []*keepwardv1.Job{jobOf("docs", "daily 22:00", "a", "b", "c")}
	early, late := at("2026-11-02 20:00"), at("2026-11-02 22:00")
	for _, tt := range []struct {
		name  string
		run   due
		begun []string
		want  []string
		ok    bool
	}{
		{"nothing was started", due{job: "docs"}, nil, nil, true},
		{"all was", due{job: "docs"}, []string{"c", "b", "a"}, nil, false},
		{"some was", due{job: "docs"}, []string{"b"}, []string{"a", "c"}, true},
		{"of another zone", due{job: "docs", computers: []string{"a"}}, []string{"b", "c"}, []string{"a"}, true},
		{"of this zone", due{job: "docs", computers: []string{"a"}}, []string{"a"}, nil, false},
		{"a job without computers", due{job: "other"}, []string{""}, nil, false},
	} {
		got, ok := tt.run.without(tt.begun, jobs)
		if ok != tt.ok || ok && !slices.Equal(got.computers, tt.want) {
			t.Errorf("%s: %v, %v", tt.name, got.computers, ok)
		}
	}
	runs := join(nil, due{job: "docs", at: late, computers: []string{"a"}})
	runs = join(runs, due{job: "mail", at: late})
	runs = join(runs, due{job: "docs", at: early, missed: true, computers: []string{"b", "c"}})
	if len(runs) != 2 || !runs[0].at.Equal(early) || !runs[0].missed || !slices.Equal(runs[0].computers, []string{"a", "b", "c"}) {
		t.Errorf("joined: %v", runs)
	}
	if runs = join(runs, due{job: "docs", at: late}); runs[0].computers != nil {
		t.Errorf("joined with a run of all: %v", runs)
	}
}
