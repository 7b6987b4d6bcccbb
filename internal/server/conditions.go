package server

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// skewMost is how far the clock of an agent may be off before it is said. Restore points
// carry the server's time, so it does no harm there.
const skewMost = time.Minute

const (
	severityWarning = "warning"
	severityError   = "error"
)

func computerConditions(row catalog.Computer, online bool) []*keepwardv1.Condition {
	var out []*keepwardv1.Condition
	if !online {
		out = append(out, &keepwardv1.Condition{
			Code: "agent.offline", Severity: severityWarning, Subject: row.Name,
			Text: fmt.Sprintf("the agent of %s is not connected", row.Name), Hint: "start the agent on the computer, and read its log",
			Since: timestamp(latest(row.LastSeen, row.Joined)),
		})
	}
	if row.Skew.Abs() > skewMost {
		way := "ahead of"
		if row.Skew < 0 {
			way = "behind"
		}
		out = append(out, &keepwardv1.Condition{
			Code: "agent.clock-skew", Severity: severityWarning, Subject: row.Name,
			Text:  fmt.Sprintf("the clock of %s is %s %s the server's", row.Name, row.Skew.Abs().Round(time.Second), way),
			Hint:  "set the computer's clock; restore points carry the server's time",
			Since: timestamp(row.LastSeen),
		})
	}
	return out
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func transportConditions(list []*keepwardv1.Transport) []*keepwardv1.Condition {
	var out []*keepwardv1.Condition
	for _, t := range list {
		if t.Status != statusOnline {
			out = append(out, &keepwardv1.Condition{
				Code: "transport.offline", Severity: severityError, Subject: t.Name,
				Text: fmt.Sprintf("transport %s is not connected", t.Name), Hint: "start it on its host, and read its log", Since: t.LastSeen,
			})
		}
	}
	return out
}

func (s *server) repositoryConditions(row catalog.Repository) []*keepwardv1.Condition {
	var out []*keepwardv1.Condition
	switch s.repositoryStatus(row) {
	case "offline":
		out = append(out, &keepwardv1.Condition{
			Code: "repository.offline", Severity: severityError, Subject: row.Name,
			Text: fmt.Sprintf("repository %s cannot be reached: transport %s is not connected", row.Name, row.Transport),
			Hint: "start the transport on its host", Since: timestamp(row.Figures.Looked),
		})
	case "lost":
		a, _ := s.repos.ailment(row.Name)
		out = append(out, &keepwardv1.Condition{
			Code: "repository.lost", Severity: severityError, Subject: row.Name,
			Text: fmt.Sprintf("repository %s cannot be used: %v", row.Name, a.err), Hint: errs.HintOf(a.err), Since: timestamp(a.since),
		})
	}
	if row.Exported.IsZero() {
		out = append(out, &keepwardv1.Condition{
			Code: "repository.recovery-key", Severity: severityWarning, Subject: row.Name,
			Text:  fmt.Sprintf("the recovery key of repository %s was never exported", row.Name),
			Hint:  fmt.Sprintf("keepward repository recovery-key %s --out FILE, and keep it where no server can lose it", row.Name),
			Since: timestamp(row.Created),
		})
	}
	return append(out, proofConditions(row)...)
}

// jobConditions are the jobs whose newest session failed, and those of which one of the newest has
// found that a tracker missed changes.
func (s *server) jobConditions(ctx context.Context) ([]*keepwardv1.Condition, error) {
	newest, err := catalog.NewestSessions(ctx, s.db.Read(), sessionsLookedAt)
	if err != nil {
		return nil, err
	}
	states := map[string]string{}
	var names []string
	for _, one := range newest {
		if _, ok := states[one.Job]; !ok {
			names = append(names, one.Job)
		}
		states[one.Job] += fmt.Sprint(one.ID, one.Ended.UnixNano(), " ")
	}
	var out []*keepwardv1.Condition
	for _, name := range names {
		list, ok := s.jobsSeen.get(name, states[name])
		if !ok {
			recent, err := s.manager.RecentSessions(ctx, name, sessionsLookedAt)
			if err != nil {
				return nil, err
			}
			list = conditionsOfJob(name, recent)
			s.jobsSeen.put(name, states[name], list)
		}
		out = append(out, list...)
	}
	s.jobsSeen.only(states)
	return out, nil
}

// sessionsLookedAt is how many of a job's newest sessions tell of its condition.
const sessionsLookedAt = 5

// jobsSeen keeps what was found of each job until one of its newest sessions begins or ends: there are
// thousands of jobs, and a status is asked for every few seconds. The zero value is ready to use.
type jobsSeen struct {
	mu   sync.Mutex
	jobs map[string]jobSeen
}

type jobSeen struct {
	state      string // of the sessions that were looked at
	conditions []*keepwardv1.Condition
}

func (j *jobsSeen) get(name, state string) ([]*keepwardv1.Condition, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen, ok := j.jobs[name]
	return seen.conditions, ok && seen.state == state
}

func (j *jobsSeen) put(name, state string, list []*keepwardv1.Condition) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.jobs == nil {
		j.jobs = map[string]jobSeen{}
	}
	j.jobs[name] = jobSeen{state, list}
}

// only forgets jobs that are not among these.
func (j *jobsSeen) only(names map[string]string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	maps.DeleteFunc(j.jobs, func(name string, _ jobSeen) bool { _, ok := names[name]; return !ok })
}

func conditionsOfJob(name string, recent []*keepwardv1.Session) (out []*keepwardv1.Condition) {
	if c := missedChanges(name, recent); c != nil {
		out = append(out, c)
	}
	for _, session := range recent {
		if session.Ended == nil {
			continue // the newest that is over says how the last backup went
		}
		if session.Result == "Failed" {
			out = append(out, failedJob(name, session))
		}
		break
	}
	return out
}

// missedChanges tells of the newest session that found some.
func missedChanges(name string, recent []*keepwardv1.Session) *keepwardv1.Condition {
	for _, session := range recent {
		n := session.GetProgress().GetCounters().GetMissedChanges()
		if n == 0 || session.Ended == nil {
			continue
		}
		return &keepwardv1.Condition{
			Code: "changes.missed", Severity: severityError, Subject: name,
			Text: fmt.Sprintf("session %d of job %s compared every file and found %d changes that nothing had told of: backups before it may lack them", session.Id, name, n),
			Hint: fmt.Sprintf("see which: keepward session log %d; compare every file at each run: keepward job edit %s --no-tracking", session.Id, name), Since: session.Ended,
		}
	}
	return nil
}

func failedJob(name string, session *keepwardv1.Session) *keepwardv1.Condition {
	text := fmt.Sprintf("the last session of job %s (%d) ended as %s", name, session.Id, session.Status)
	if m := session.Failure.GetMessage(); m != "" {
		text += ": " + m
	}
	return &keepwardv1.Condition{
		Code: "job.failed", Severity: severityError, Subject: name, Text: text,
		Hint: fmt.Sprintf("keepward session log %d", session.Id), Since: session.Ended,
	}
}
