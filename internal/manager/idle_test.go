package manager

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestWorkOfIdleTimeEnds(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quiet := 5 * time.Minute
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	past := func(session int64, age time.Duration, r *keepwardv1.SweepReport) *pastSweep {
		return &pastSweep{session: session, created: ago(age), ended: ago(age).Add(time.Minute), report: r}
	}
	stored := catalog.Rest{Ended: ago(time.Hour), Stored: 7}
	nothing, gained, stopped := &keepwardv1.SweepReport{Done: true}, &keepwardv1.SweepReport{Done: true, RecompressedBytes: 1}, &keepwardv1.SweepReport{}
	many := catalog.Figures{Looked: ago(time.Minute), Segments: mergeAbove + 1}
	for name, c := range map[string]struct {
		at   rest
		want idleWork
	}{
		"nothing was ever stored":                   {rest{may: true, Rest: catalog.Rest{Ended: ago(time.Hour)}}, idleNothing},
		"the first backups are there":               {rest{may: true, Rest: stored}, idleCompress},
		"it is forbidden":                           {rest{Rest: stored}, idleNothing},
		"something ended just now":                  {rest{may: true, Rest: catalog.Rest{Ended: ago(quiet - 1), Stored: 7}}, idleNothing},
		"a backup runs":                             {rest{may: true, Rest: catalog.Rest{Ended: ago(time.Hour), Stored: 7, Active: map[job.Type]int64{job.Backup: 9}}}, idleNothing},
		"a restore waits":                           {rest{may: true, Rest: catalog.Rest{Ended: ago(time.Hour), Stored: 7, Active: map[job.Type]int64{job.Restore: 9}}}, idleNothing},
		"the last run gained something":             {rest{may: true, Rest: stored, idle: past(8, time.Hour, gained)}, idleCompress},
		"the last run gained nothing":               {rest{may: true, Rest: stored, idle: past(8, time.Hour, nothing)}, idleNothing},
		"and nothing came since":                    {rest{may: true, Rest: stored, idle: past(8, 50*time.Hour, nothing)}, idleNothing},
		"a backup came since, but not a day":        {rest{may: true, Rest: stored, idle: past(6, time.Hour, nothing)}, idleNothing},
		"a backup came since":                       {rest{may: true, Rest: stored, idle: past(6, 25*time.Hour, nothing)}, idleCompress},
		"the last run was stopped without gain":     {rest{may: true, Rest: stored, idle: past(8, time.Hour, stopped)}, idleNothing},
		"and that a day ago":                        {rest{may: true, Rest: stored, idle: past(8, 25*time.Hour, stopped)}, idleCompress},
		"the last run said nothing":                 {rest{may: true, Rest: stored, idle: past(8, 25*time.Hour, nil)}, idleCompress},
		"many segments":                             {rest{figures: many}, idleMerge},
		"many segments beside a backup":             {rest{figures: many, Rest: catalog.Rest{Active: map[job.Type]int64{job.Backup: 9}}}, idleMerge},
		"many segments, and a sweep runs":           {rest{figures: many, Rest: catalog.Rest{Active: map[job.Type]int64{job.Sweep: 9}}}, idleNothing},
		"many segments, and the index is made anew": {rest{figures: many, Rest: catalog.Rest{Active: map[job.Type]int64{job.RebuildIndex: 9}}}, idleNothing},
		"counted before they were joined":           {rest{figures: many, merged: past(3, time.Minute, &keepwardv1.SweepReport{Segments: 3})}, idleNothing},
		"many again":                                {rest{figures: many, merged: past(3, time.Hour, &keepwardv1.SweepReport{Segments: 3})}, idleMerge},
		"they cannot become fewer":                  {rest{figures: many, merged: past(3, 50*time.Hour, &keepwardv1.SweepReport{Segments: mergeAbove})}, idleNothing},
		"joining failed":                            {rest{figures: many, merged: past(3, time.Hour, nil)}, idleNothing},
		"joining failed a day ago":                  {rest{figures: many, merged: past(3, 25*time.Hour, nil)}, idleMerge},
	} {
		if got := c.at.work(now, quiet); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// restsWith lets the repository have idle time.
func (w *world) restsWith(u catalog.Upkeep) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sql.Tx) error { return catalog.SetUpkeep(ctx, tx, theRepo, u) })
	w.m.ConfigChanged()
	synctest.Wait()
}

// idling is the session of idle time that runs.
func (w *world) idling() int64 {
	w.t.Helper()
	w.pass(7 * time.Minute)
	s := w.newestOf(job.Sweep)
	if s.GetUser() != byIdle || s.GetStatus() != string(job.Running) {
		w.t.Fatalf("the newest sweep is %v", s)
	}
	return s.GetId()
}

func TestIdleTimeIsUsedOnceThereIsSomethingToGain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.restsWith(catalog.Upkeep{Maintenance: "monthly last 04:00"})
		w.pass(time.Hour)
		if w.transports[theNode].running() != nil {
			t.Fatal("something runs for an empty repository")
		}
		ids := w.backups(2)
		if err := w.change(actionDelete, "", ids[0]); err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		id := w.newestOf(job.Sweep).GetId()
		attempt, order := w.sweeping()
		if !order.GetIdle() || order.GetRecompress() != "high" || order.GetCompactMost() != idleMost || order.GetPurgePoints() != nil {
			t.Errorf("the order is %v", order)
		}
		w.mu.Lock()
		keys := w.transports[theNode].movers[attempt].GetKeys()
		w.mu.Unlock()
		if keys.GetIssueKey() == nil || keys.GetComputersKey() == nil || keys.GetComputerKey() != nil {
			t.Errorf("the keys are %v", keys)
		}
		if s := w.session(id); s.GetPriority() != job.LowestPriority {
			t.Errorf("its priority is %d", s.GetPriority())
		}
		w.swept(&keepwardv1.SweepReport{Done: true, RecompressedBytes: 1000})
		w.expect(id, job.Completed, "")
		again := w.idling() // there may be more
		w.swept(&keepwardv1.SweepReport{Done: true})
		w.expect(again, job.Completed, "")
		w.pass(26 * time.Hour)
		if s := w.newestOf(job.Sweep); s.GetId() != again {
			t.Errorf("without need came %v", s)
		}
		w.backups(1)
		w.idling()
	})
}

func TestIdleTimeNeedsLeave(t *testing.T) {
	for name, u := range map[string]catalog.Upkeep{
		"recompress":  {Recompress: job.RecompressNever},
		"maintenance": {Maintenance: "never"},
	} {
		t.Run(name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				w.restsWith(u)
				w.backups(1)
				w.pass(time.Hour)
				if got := w.transports[theNode].running(); got != nil {
					t.Errorf("%v runs", got)
				}
			})
		})
	}
	t.Run("keys", func(t *testing.T) {
		site(t, func(t *testing.T, w *world) {
			w.connect()
			w.restsWith(catalog.Upkeep{})
			w.write(func(ctx context.Context, tx *sql.Tx) error {
				return catalog.SetProofs(ctx, tx, theRepo, 0, job.ForeignProofNever)
			})
			w.backups(1)
			w.pass(time.Hour)
			if got := w.transports[theNode].running(); got != nil {
				t.Errorf("%v runs", got)
			}
		})
	})
}

func TestIdleWorkMakesRoom(t *testing.T) {
	for name, come := range map[string]func(w *world) int64{
		"for a backup":  func(w *world) int64 { return w.run() },
		"for a restore": func(w *world) int64 { return w.restore(&keepwardv1.RestoreFilesRequest{Computer: "web1"}) },
		"for a sweep":   func(w *world) int64 { return w.sweep(&keepwardv1.SweepRepositoryRequest{}) },
	} {
		t.Run(name, func(t *testing.T) {
			site(t, func(t *testing.T, w *world) {
				w.connect()
				w.restsWith(catalog.Upkeep{Maintenance: "monthly last 04:00"})
				w.backups(1)
				id := w.idling()
				attempt, _ := w.sweeping()
				other := come(w)
				synctest.Wait()
				tr := w.transports[theNode]
				if len(tr.stops) == 0 || tr.stops[0] != attempt {
					t.Fatalf("told to stop are %v", tr.stops)
				}
				w.mu.Lock()
				delete(tr.movers, attempt)
				w.mu.Unlock()
				end := failed(errs.Cancelled, "the mover was told to stop")
				end.Outcome, end.Sweep = outcomeAborted, &keepwardv1.SweepReport{RecompressedBytes: 500, RewrittenPacks: 2}
				w.end(transportOf(theNode), attempt, end)
				w.expect(id, job.Completed, "")
				if got := w.session(id).GetReport().GetSweep(); got.GetRecompressedBytes() != 500 {
					t.Errorf("the report is %v", got)
				}
				w.expect(other, job.Running, "")
				w.pass(20 * time.Minute)
				if s := w.newestOf(job.Sweep); s.GetId() > other {
					t.Errorf("beside session %d came %v", other, s)
				}
			})
		})
	}
}

func TestAStopThatWasLostIsSaidAgain(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.restsWith(catalog.Upkeep{Maintenance: "monthly last 04:00"})
		w.backups(1)
		w.idling()
		attempt, _ := w.sweeping()
		w.run()
		tr := w.transports[theNode]
		w.mu.Lock()
		tr.stops = nil
		w.mu.Unlock()
		w.beat(transportOf(theNode), "boot-t", tr.running())
		if len(tr.stops) == 0 || tr.stops[0] != attempt {
			t.Errorf("told to stop are %v", tr.stops)
		}
	})
}

func TestManySegmentsAreJoined(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.run() // need not wait for it
		w.write(func(ctx context.Context, tx *sql.Tx) error {
			return catalog.NoteFigures(ctx, tx, theRepo, catalog.Figures{Looked: time.Now(), Segments: 300})
		})
		w.pass(2 * time.Minute)
		_, order := w.sweeping()
		if !order.GetMerge() || order.GetRecompress() != "" {
			t.Errorf("the order is %v", order)
		}
		w.swept(&keepwardv1.SweepReport{Done: true, MergedSegments: 299, Segments: 12})
		w.pass(time.Hour)
		for _, m := range w.transports[theNode].movers {
			if m.GetMode() == modeSweep {
				t.Error("they are joined again, and were not counted since")
			}
		}
	})
}
