package manager

import (
	"context"
	"database/sql"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// bySchedule is who starts the sessions of schedules.
const bySchedule = "schedule"

// seenKey is the setting that keeps up to when all schedules have been served, so that a
// start of the server finds what was missed.
const seenKey = "schedules.seen"

// lookAgain bounds the sleep to the next run: a timer does not follow a wall clock that is
// set, or a host that was suspended.
const lookAgain = time.Minute

const missedSkip = "skip"

// due is a run whose moment has come.
type due struct {
	job       string
	at        time.Time
	missed    bool // it came before the server was there
	skip      bool
	computers []string // nil: all of the job
}

// dues are runs of jobs, and of the maintenance of repositories.
type dues struct{ jobs, upkeep []due }

// dueRuns lists the runs in (seen, now] of jobs that go by a calendar, one for each job and zone
// however many there were, and the moment of the next one after now. started is when this server
// began to look; zones are those of computers.
func dueRuns(jobs []*keepwardv1.Job, zones map[string]*time.Location, seen, started, now time.Time) (runs []due, next time.Time) {
	for _, j := range jobs {
		s, ok := scheduleOf(j)
		if !ok || j.GetMode() == job.ModeAgent { // its agents look at it themselves
			continue
		}
		for _, part := range partsOf(j, s, zones) {
			if at, ok := part.schedule.Next(seen); ok && !at.After(now) {
				missed := at.Before(started)
				runs = append(runs, due{job: j.GetName(), at: at, missed: missed, skip: missed && j.GetMissed() == missedSkip, computers: part.computers})
			}
			if at, ok := part.schedule.Next(now); ok {
				next = earliest(next, at)
			}
		}
	}
	return runs, next
}

// scheduleOf is the schedule of a job that runs by one.
func scheduleOf(j *keepwardv1.Job) (schedule.Schedule, bool) {
	if j.GetDisabled() || j.GetSchedule() == "" {
		return schedule.Schedule{}, false
	}
	s, err := schedule.Parse(j.GetSchedule(), time.Local)
	return s, err == nil // what cannot be read is refused when a job is written
}

// runSchedules starts sessions when their moment comes.
func (m *Manager) runSchedules(ctx context.Context) error {
	started := time.Now()
	seen, err := m.schedulesSeen(ctx, started)
	if err != nil {
		return err
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	forget := started
	var left dues
	for {
		changed := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.changed:
			changed = true
		case <-timer.C:
		}
		next := lookAgain
		now := time.Now()
		if !now.Before(forget) {
			forget = now.Add(forgetEvery)
			m.chores.post(m.forgetOld)
		}
		if ran, at, err := m.runDue(ctx, seen, started, now, &left); err != nil {
			m.log.Error("schedules not read, will try again", "error", err)
		} else {
			// While something due is not started yet, a server that ends finds it missed.
			if seen = now; (changed || ran) && len(left.jobs)+len(left.upkeep) == 0 {
				m.keepSeen(ctx, seen)
			}
			if !at.IsZero() {
				next = min(next, time.Until(at))
			}
		}
		timer.Reset(max(next, 0))
	}
}

// runDue starts what is due in (seen, now], and what is left of the looks before, and answers
// whether there was anything and when the next is.
func (m *Manager) runDue(ctx context.Context, seen, started, now time.Time, left *dues) (ran bool, next time.Time, err error) {
	if _, err := m.checkClock(ctx); err != nil {
		return false, next, err
	}
	jobs, err := m.expandedJobs(ctx)
	if err != nil {
		return false, next, err
	}
	repositories, err := catalog.Repositories(ctx, m.deps.DB.Read())
	if err != nil {
		return false, next, err
	}
	zones, err := m.zonesFor(ctx, jobs)
	if err != nil {
		return false, next, err
	}
	runs, at := dueRuns(jobs, zones, seen, started, now)
	more, atMore, err := m.chained(ctx, jobs, seen, started, now)
	if err != nil {
		return false, next, err
	}
	runs = slices.Concat(stillWanted(left.jobs, jobs), runs, more)
	left.jobs = m.startDue(ctx, jobs, runs)
	rules := upkeepSchedules(repositories)
	upkeep, atUpkeep := dueRuns(rules, nil, seen, started, now)
	for _, r := range stillWanted(left.upkeep, rules) {
		upkeep = join(upkeep, r)
	}
	left.upkeep = m.startUpkeep(ctx, upkeep)
	atRescan := m.startRescan(ctx, seen, started, now)
	m.startIdle(ctx, repositories, now)
	return len(runs)+len(upkeep) > 0, earliest(at, atMore, atUpkeep, atRescan), nil
}

// stillWanted leaves out the runs of jobs that are gone by now, or disabled.
func stillWanted(runs []due, jobs []*keepwardv1.Job) []due {
	return slices.DeleteFunc(runs, func(r due) bool {
		return !slices.ContainsFunc(jobs, func(j *keepwardv1.Job) bool {
			_, scheduled := scheduleOf(j)
			return scheduled && j.GetName() == r.job
		})
	})
}

// mayPass tells whether what a session could not be started for may be over in a moment, as a full
// disk of the server. All else is the same until somebody changes something.
func mayPass(err error) bool {
	switch errs.KindOf(err) {
	case errs.Internal, errs.NoSpace, errs.Unavailable, errs.Cancelled:
		return true
	}
	return false
}

// startDue starts sessions, and answers the runs to try again.
func (m *Manager) startDue(ctx context.Context, jobs []*keepwardv1.Job, runs []due) (left []due) {
	for _, r := range m.unstarted(ctx, jobs, runs) {
		id, err := m.runJobFrom(ctx, r.job, r.request(time.Now()))
		if errs.CodeOf(err) == codeNotSubmitted {
			m.log.Info("scheduled session not submitted", "job", r.job, "at", r.at, "reason", err)
			continue
		}
		if err != nil && mayPass(err) {
			m.log.Error("scheduled session not started, will try again", "job", r.job, "at", r.at, "error", err)
			r.missed = true // its computers are spread from when it starts
			left = append(left, r)
			continue
		}
		if err != nil {
			m.log.Error("scheduled session not started", "job", r.job, "at", r.at, "error", err)
			continue
		}
		m.log.Info("scheduled session started", "job", r.job, "at", r.at, "session", id, "missed", r.missed)
	}
	return left
}

// unstarted leaves out what is skipped, and what was started already: a server that died between
// the start of a session and the note of it starts it once. What is due of one job in several
// zones becomes one run.
func (m *Manager) unstarted(ctx context.Context, jobs []*keepwardv1.Job, runs []due) []due {
	var out []due
	for _, r := range runs {
		if r.skip {
			m.log.Info("missed run skipped", "job", r.job, "at", r.at)
			continue
		}
		begun, err := catalog.StartedSince(ctx, m.deps.DB.Read(), r.job, bySchedule, r.at)
		if err != nil {
			m.log.Error("runs that were started already not read", "job", r.job, "error", err)
		}
		begun = append(begun, m.stillHeld(ctx, r)...)
		if r, ok := r.without(begun, jobs); ok {
			out = join(out, r)
		}
	}
	return out
}

// stillHeld lists the computers of the last run of a job that a schedule started, if a rule of the
// queue keeps all of it there: another one beside it would do nothing more.
func (m *Manager) stillHeld(ctx context.Context, r due) (computers []string) {
	last, ok, err := catalog.LastSession(ctx, m.deps.DB.Read(), r.job)
	if err != nil || !ok || last.StartedBy != bySchedule || last.Status != job.Queued || !heldBy(last.Reason) {
		return nil
	}
	tasks, err := catalog.Tasks(ctx, m.deps.DB.Read(), last.ID)
	if err != nil {
		return nil
	}
	for _, t := range tasks {
		computers = append(computers, t.Computer)
	}
	m.log.Info("scheduled session not started: the last one is still kept in the queue", "job", r.job, "at", r.at, "session", last.ID, "reason", last.Reason.GetText())
	return computers
}

// without is the run for the computers that were not started yet; false: there are none.
func (r due) without(begun []string, jobs []*keepwardv1.Job) (due, bool) {
	if len(begun) == 0 {
		return r, true
	}
	all := r.computers
	for _, j := range jobs {
		if all == nil && j.GetName() == r.job {
			all = j.GetComputers()
		}
	}
	r.computers = nil
	for _, c := range all {
		if !slices.Contains(begun, c) {
			r.computers = append(r.computers, c)
		}
	}
	return r, len(r.computers) > 0
}

// join adds a run, to that of the same job if there is one.
func join(runs []due, r due) []due {
	i := slices.IndexFunc(runs, func(o due) bool { return o.job == r.job })
	if i < 0 {
		return append(runs, r)
	}
	o := &runs[i]
	if o.computers != nil && r.computers != nil {
		o.computers = slices.Concat(o.computers, r.computers)
	} else {
		o.computers = nil
	}
	o.at, o.missed = earliest(o.at, r.at), o.missed || r.missed
	return runs
}

func (m *Manager) schedulesSeen(ctx context.Context, now time.Time) (time.Time, error) {
	v, err := catalog.Setting(ctx, m.deps.DB.Read(), seenKey)
	if err != nil {
		return now, err
	}
	if seen, err := time.Parse(time.RFC3339Nano, string(v)); err == nil {
		return seen, nil
	}
	m.keepSeen(ctx, now) // the first start: nothing can have been missed
	return now, nil
}

func (m *Manager) keepSeen(ctx context.Context, seen time.Time) {
	err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		return catalog.SetSetting(ctx, tx, seenKey, []byte(seen.UTC().Format(time.RFC3339Nano)))
	})
	if err != nil && ctx.Err() == nil {
		m.log.Error("progress of schedules not kept", "error", err)
	}
}

// DescribeJob fills in when a job runs next and how it ran last.
func (m *Manager) DescribeJob(ctx context.Context, j *keepwardv1.Job) error {
	j.NextRun, j.LastRun, j.LastResult, j.LastSession = nil, nil, "", 0
	runs, _, err := m.NextRuns(ctx, j, 1)
	if err != nil {
		return err
	}
	if len(runs) > 0 && runs[0].GetAfter() == "" {
		j.NextRun = runs[0].GetTime()
	}
	last, ok, err := catalog.LastSession(ctx, m.deps.DB.Read(), j.GetName())
	if err != nil || !ok {
		return err
	}
	j.LastRun, j.LastSession, j.LastResult = stamp(last.Created), last.ID, string(last.Status)
	return nil
}
