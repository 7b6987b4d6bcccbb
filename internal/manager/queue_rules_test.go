package manager

import (
	"database/sql"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// A bubble begins on Saturday, 2000-01-01 at 00:00 UTC.

func (w *world) window(change *keepwardv1.Window) []string {
	w.t.Helper()
	change.Zone = "UTC"
	res, err := w.m.SaveWindow(w.t.Context(), connect.NewRequest(&keepwardv1.SaveWindowRequest{Window: change}))
	w.must(err)
	synctest.Wait()
	return res.Msg.GetWarnings()
}

func (w *world) switchOff(level string, d time.Duration, activities ...string) {
	w.t.Helper()
	req := &keepwardv1.SetActivityRequest{Level: level, Activities: activities, Disabled: true}
	if d > 0 {
		req.Time = durationpb.New(d)
	}
	_, err := w.m.SetActivity(w.t.Context(), connect.NewRequest(req))
	w.must(err)
	synctest.Wait()
}

func (w *world) switchOn(level string, activities ...string) {
	w.t.Helper()
	_, err := w.m.SetActivity(w.t.Context(), connect.NewRequest(&keepwardv1.SetActivityRequest{Level: level, Activities: activities}))
	w.must(err)
	synctest.Wait()
}

func (w *world) limit(level string, sessions int32) {
	w.t.Helper()
	_, err := w.m.SetLimit(w.t.Context(), connect.NewRequest(&keepwardv1.SetLimitRequest{Level: level, Sessions: sessions}))
	w.must(err)
	synctest.Wait()
}

func (w *world) pauseServer() {
	w.t.Helper()
	_, err := w.m.PauseServer(w.t.Context(), connect.NewRequest(&keepwardv1.PauseServerRequest{Reason: "new switch"}))
	w.must(err)
	synctest.Wait()
}

func (w *world) resumeServer() {
	w.t.Helper()
	_, err := w.m.ResumeServer(w.t.Context(), connect.NewRequest(&keepwardv1.ResumeServerRequest{}))
	w.must(err)
	synctest.Wait()
}

// otherJob makes a job of web2, and runOther runs it.
func (w *world) otherJob() {
	w.t.Helper()
	j := theJobOf("web2")
	j.Name = "other"
	w.setJob(j)
}

func (w *world) runOther() int64 {
	w.t.Helper()
	id, err := w.m.RunJob(w.t.Context(), "other", false)
	w.must(err)
	synctest.Wait()
	return id
}

func (w *world) conditions() []string {
	var codes []string
	for _, c := range w.m.Conditions() {
		codes = append(codes, c.GetCode())
	}
	return codes
}

func TestAPausedServerKeepsEverythingInTheQueue(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.otherJob()
		runs := w.run()
		w.pauseServer()
		w.expect(runs, job.Running, "")
		id := w.runOther()
		w.expect(id, job.Queued, job.ServerPaused)
		if got := w.conditions(); !slices.Contains(got, "server.paused") {
			t.Errorf("conditions are %v", got)
		}
		w.reopen()
		w.connect()
		w.pass(time.Minute)
		w.expect(id, job.Queued, job.ServerPaused)
		w.resumeServer()
		w.expect(id, job.Running, "")
		if got := w.conditions(); len(got) != 0 {
			t.Errorf("after it conditions are %v", got)
		}
		res, err := w.m.ResumeServer(t.Context(), connect.NewRequest(&keepwardv1.ResumeServerRequest{}))
		if err != nil || res.Msg.GetWas() != nil {
			t.Errorf("resumed twice: %v, %v", res, err)
		}
	})
}

func TestAPausedServerTakesBackWhatOnlyWaits(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		id := w.run()
		w.expect(id, job.Waiting, job.TransportOffline)
		w.pauseServer()
		w.expect(id, job.Queued, job.ServerPaused)
		w.connect()
		w.expect(id, job.Queued, job.ServerPaused)
		w.resumeServer()
		w.expect(id, job.Running, "")
	})
}

func TestASwitchedOffActivityIsOnAgainAfterItsTime(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.switchOff("server", time.Hour, "data-protection")
		id := w.run()
		w.expect(id, job.Queued, job.ActivityDisabled)
		w.expect(w.verify(), job.Running, "")
		w.pass(59 * time.Minute)
		w.expect(id, job.Queued, job.ActivityDisabled)
		w.pass(2 * time.Minute)
		w.expect(id, job.Running, "")
	})
}

func TestASwitchOfOneComputerHoldsNoOther(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.otherJob()
		w.switchOff("computer/web1", 0, "data-protection", "scheduler")
		id, other := w.run(), w.runOther()
		w.expect(id, job.Queued, job.ActivityDisabled)
		w.expect(other, job.Running, "")
		w.switchOn("computer/web1", "data-protection")
		w.expect(id, job.Running, "")
	})
}

func TestARunStopsWhenItsWindowClosesAndGoesOnInTheNext(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.window(&keepwardv1.Window{Name: "early", Open: []string{"daily 00:00-01:00"}})
		id := w.run()
		w.expect(id, job.Running, "")
		attempt := w.agents["web1"].only(t)
		w.pass(59 * time.Minute)
		w.expect(id, job.Running, "")
		w.pass(90 * time.Second)
		w.expect(id, job.InterruptPending, job.OutsideWindow)
		w.obeyStop(attempt)
		w.expect(id, job.Queued, job.OutsideWindow)
		if args := w.session(id).GetReason().GetArgs(); !slices.Equal(args, []string{"early", "2000-01-02T00:00:00Z"}) {
			t.Errorf("the reason says %v", args)
		}
		w.pass(22 * time.Hour)
		w.expect(id, job.Queued, job.OutsideWindow)
		w.pass(time.Hour)
		w.expect(id, job.Running, "")
		w.finish("web1")
		w.expect(id, job.Completed, "")
	})
}

func TestARunMayFinishPastAWindowThatLetsIt(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.window(&keepwardv1.Window{Name: "early", Open: []string{"daily 00:00-01:00"}, Finish: true})
		id := w.run()
		w.pass(2 * time.Hour)
		w.expect(id, job.Running, "")
		next := w.run()
		w.expect(next, job.Queued, job.OutsideWindow)
	})
}

func TestAWindowThatIsChangedCountsAtOnce(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		if warnings := w.window(&keepwardv1.Window{Name: "shut", Closed: []string{"daily"}}); len(warnings) != 1 {
			t.Errorf("warned of %v", warnings)
		}
		if got := w.conditions(); !slices.Contains(got, "window.shut") {
			t.Errorf("conditions are %v", got)
		}
		id := w.run()
		w.expect(id, job.Queued, job.OutsideWindow)
		if warnings := w.window(&keepwardv1.Window{Name: "shut", Open: []string{"sat"}}); len(warnings) != 0 {
			t.Errorf("warned of %v", warnings)
		}
		w.expect(id, job.Running, "")
		if _, err := w.m.DeleteWindow(t.Context(), connect.NewRequest(&keepwardv1.DeleteWindowRequest{Name: "shtu"})); errs.KindOf(err) != errs.NotFound {
			t.Errorf("deleting what is not there: %v", err)
		}
	})
}

func TestALimitKeepsTheNextInTheQueueAndNamesWhoRuns(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.otherJob()
		w.limit("server", 1)
		first, second := w.run(), w.runOther()
		w.expect(first, job.Running, "")
		w.expect(second, job.Queued, job.Throttle)
		waits := w.m.waits(w.session(second))
		if len(waits) != 1 || len(waits[0].GetSessions()) != 1 || waits[0].GetSessions()[0].GetSession() != first {
			t.Errorf("it waits for %v", waits)
		}
		rows, err := w.m.limitRows(t.Context())
		w.must(err)
		if len(rows) != 1 || rows[0].GetRunning() != 1 || rows[0].GetWaiting() != 1 {
			t.Errorf("limits are %v", rows)
		}
		w.finish("web1")
		w.expect(second, job.Running, "")
	})
}

func TestWhatWaitsForAnOfflineComputerFillsNoLimit(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.transportUp()
		w.agentUp("web1")
		w.otherJob()
		w.limit("server", 1)
		away := w.runOther()
		w.expect(away, job.Waiting, job.AgentOffline)
		id := w.run()
		w.expect(id, job.Running, "")
		w.agentUp("web2") // its set is there, and the limit is reached
		w.expect(away, job.Queued, job.Throttle)
		w.finish("web1")
		w.expect(away, job.Running, "")
	})
}

func TestALimitOutlivesTheServer(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.otherJob()
		w.limit("repository/main", 1)
		first := w.run()
		w.reopen()
		second := w.runOther()
		w.connect()
		w.expect(first, job.Running, "")
		w.expect(second, job.Queued, job.Throttle)
		w.limit("repository/main", 0)
		w.expect(second, job.Running, "")
	})
}

func TestASessionStartsAtItsTimeAndLetsOthersPassBefore(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		later, err := w.m.RunJobWith(t.Context(), theJob, RunOptions{At: time.Now().Add(time.Hour)})
		w.must(err)
		w.expect(later, job.Queued, job.StartTime)
		w.reopen()
		w.connect()
		w.expect(later, job.Queued, job.StartTime)
		now := w.run()
		w.expect(now, job.Running, "")
		w.pass(61 * time.Minute)
		w.expect(later, job.Queued, job.Conflict)
		w.finish("web1")
		w.expect(later, job.Running, "")
	})
}

func TestARebuildPassesABackupThatARuleKeeps(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.switchOff("server", 0, "data-protection")
		backup := w.run()
		w.expect(backup, job.Queued, job.ActivityDisabled)
		rebuild := w.rebuild()
		w.expect(rebuild, job.Running, "")
		w.switchOn("server", "data-protection")
		if s := job.Status(w.session(backup).GetStatus()); s == job.Running {
			t.Error("the backup writes while the index is made anew")
		}
	})
}

func TestSchedulesStartNothingThatAWindowRefuses(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Schedule = "every 60m in UTC"
		w.setJob(j)
		w.connect()
		w.window(&keepwardv1.Window{Name: "late", Closed: []string{"daily 00:00-02:30"}, DoNotSubmit: true})
		byHand := w.run()
		w.expect(byHand, job.Queued, job.OutsideWindow)
		w.pass(2*time.Hour + 10*time.Minute)
		if list, _ := w.m.RecentSessions(t.Context(), theJob, 10); len(list) != 1 {
			t.Errorf("%d sessions while the window is closed", len(list))
		}
		w.pass(time.Hour)
		if list, _ := w.m.RecentSessions(t.Context(), theJob, 10); len(list) != 2 {
			t.Errorf("%d sessions when it has opened", len(list))
		}
	})
}

func TestAScheduleThatIsSwitchedOffQueuesOneSession(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Schedule = "every 60m in UTC"
		w.setJob(j)
		w.connect()
		w.switchOff("server", 0, "scheduler")
		w.pass(3*time.Hour + 10*time.Minute)
		list, err := w.m.RecentSessions(t.Context(), theJob, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d sessions, %v", len(list), err)
		}
		w.expect(list[0].GetId(), job.Queued, job.ActivityDisabled)
		w.switchOn("server", "scheduler")
		w.expect(list[0].GetId(), job.Running, "")
	})
}

func TestRulesThatWereWrittenHoldWhenTheManagerHasBeenTold(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.must(w.db.Write(t.Context(), func(tx *sql.Tx) error {
			return catalog.DisableActivity(t.Context(), tx, catalog.Disabled{Level: "server", Activity: "data-protection", By: "ann"})
		}))
		w.must(w.m.RulesChanged(t.Context()))
		if got := w.conditions(); !slices.Contains(got, "activity.disabled") {
			t.Errorf("conditions are %v", got)
		}
		w.expect(w.run(), job.Queued, job.ActivityDisabled)
	})
}

func TestWrongRulesAreRefusedAndChangeNothing(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, err := w.m.SetLimit(ctx, connect.NewRequest(&keepwardv1.SetLimitRequest{Level: "web1", Sessions: 1}))
		if errs.CodeOf(err) != "level.unknown" {
			t.Errorf("a level that is none: %v", err)
		}
		_, err = w.m.SetActivity(ctx, connect.NewRequest(&keepwardv1.SetActivityRequest{Level: "server", Activities: []string{"backup"}, Disabled: true}))
		if errs.CodeOf(err) != "activity.unknown" {
			t.Errorf("an activity that is none: %v", err)
		}
		_, err = w.m.SetActivity(ctx, connect.NewRequest(&keepwardv1.SetActivityRequest{Level: "server", Disabled: true, Time: durationpb.New(-time.Hour)}))
		if errs.CodeOf(err) != "activity.time" {
			t.Errorf("a time that is none: %v", err)
		}
		_, err = w.m.SaveWindow(ctx, connect.NewRequest(&keepwardv1.SaveWindowRequest{Window: &keepwardv1.Window{Name: "w", Open: []string{"10:00"}}}))
		if errs.CodeOf(err) != "window.hours" {
			t.Errorf("hours that are none: %v", err)
		}
		w.connect()
		w.expect(w.run(), job.Running, "")
	})
}
