package server

import (
	"context"
	"fmt"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/notify"
)

// This file is the alarm for what did not happen. Nothing tells of it by itself, so it is looked for.

// alarmsEvery is how often. A status shows what was found last: it is asked for every few seconds.
const alarmsEvery = time.Minute

// runsLookedAt is how many of a job's newest sessions are looked at for its last run. As many may
// stay in the queue, or be refused, one after the other.
const runsLookedAt = 50

const day = 24 * time.Hour

// alarmConditions are those that were found last.
func (s *server) alarmConditions(context.Context) ([]*keepwardv1.Condition, error) {
	s.notes.mu.Lock()
	defer s.notes.mu.Unlock()
	return s.notes.alarms, nil
}

// findAlarms looks for what should have happened by now.
func (s *server) findAlarms(ctx context.Context, now time.Time) ([]*keepwardv1.Condition, error) {
	out := endingCertificates(map[string]time.Time{"server": s.leaf, "authority": s.data.authority.Certificate.NotAfter}, now)
	for _, find := range []func(context.Context, time.Time) ([]*keepwardv1.Condition, error){s.overdueJobs, s.unprotectedComputers, s.fillingRepositories, s.waitingApprovals} {
		list, err := find(ctx, now)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
	}
	return out, nil
}

// overdueJobs have not run though their schedule says so, for whatever reason: schedules are switched
// off, or the server is paused, or a window never opens.
func (s *server) overdueJobs(ctx context.Context, now time.Time) (out []*keepwardv1.Condition, err error) {
	jobs, err := catalog.Jobs(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	changed, err := catalog.JobsChanged(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		ran, running, err := catalog.LastRan(ctx, s.db.Read(), j.GetName(), runsLookedAt)
		if err != nil {
			return nil, err
		}
		due, ok := manager.DueAfter(j, latest(ran, changed[j.GetName()])) // it is held to its schedule from when it was given it
		if !ok || running || now.Sub(due) < notify.OverdueAfter {
			continue
		}
		last := "it never has"
		if !ran.IsZero() {
			last = "it last did on " + ran.Local().Format(time.DateTime)
		}
		out = append(out, &keepwardv1.Condition{
			Code: "job.overdue", Severity: severityError, Subject: j.GetName(), Since: timestamp(due),
			Text: fmt.Sprintf("job %s should have run on %s (%s), and has not; %s", j.GetName(), due.Local().Format(time.DateTime), j.GetSchedule(), last),
			Hint: fmt.Sprintf("see what holds it up: keepward status, keepward activity list, keepward session list; start it: keepward job run %s", j.GetName()),
		})
	}
	return out, nil
}

// unprotectedComputers have no restore point of the last days, or none since they joined.
func (s *server) unprotectedComputers(ctx context.Context, now time.Time) (out []*keepwardv1.Condition, err error) {
	rows, err := catalog.Computers(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	newest, err := catalog.NewestPoints(ctx, s.db.Read())
	if err != nil {
		return nil, err
	}
	points := map[string]time.Time{}
	for _, p := range newest {
		points[p.Computer] = p.Time
	}
	days := s.manager.UnprotectedDays()
	for _, row := range rows {
		last, had := points[row.Name], true
		if last.IsZero() {
			last, had = row.Joined, false
		}
		if row.Name == job.ServerComputer || now.Sub(last) <= time.Duration(days)*day {
			continue
		}
		text := fmt.Sprintf("computer %s has no restore point, and is here since %s", row.Name, last.Local().Format(time.DateTime))
		if had {
			text = fmt.Sprintf("computer %s has no restore point since %s", row.Name, last.Local().Format(time.DateTime))
		}
		out = append(out, &keepwardv1.Condition{
			Code: "computer.unprotected", Severity: severityError, Subject: row.Name, Since: timestamp(last.Add(time.Duration(days) * day)),
			Text: text, Hint: fmt.Sprintf("see its jobs and how they went: keepward computer show %s; the limit is the setting unprotected_days", row.Name),
		})
	}
	return out, nil
}

func endingCertificates(ends map[string]time.Time, now time.Time) (out []*keepwardv1.Condition) {
	for _, name := range []string{"authority", "server"} {
		end := ends[name]
		if end.IsZero() || end.Sub(now) > notify.CertificateDays*day {
			continue
		}
		out = append(out, &keepwardv1.Condition{
			Code: "certificate.ends", Severity: severityError, Subject: name, Since: timestamp(end.Add(-notify.CertificateDays * day)),
			Text: fmt.Sprintf("the certificate of the %s ends on %s; nobody can connect after it", name, end.Local().Format(time.DateTime)),
			Hint: "see operator/recovery.md",
		})
	}
	return out
}
