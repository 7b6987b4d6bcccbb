package manager

import (
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// This file is why an agent does not get what a job says that it manages.

// jobAt is a job at one computer.
type jobAt struct{ job, computer string }

func (m *Manager) noteUnissued(job, computer, why, hint string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := jobAt{job, computer}
	if had := m.unissued[at]; had.GetHint() == hint && had != nil {
		return
	}
	m.unissued[at] = &keepwardv1.Condition{
		Code: "job.not-issued", Severity: levelWarning, Subject: "job " + job, Since: timestamppb.New(time.Now()),
		Text: "the agent of " + computer + " cannot manage it, and it does not run there: " + why, Hint: hint,
	}
	m.log.Warn("an agent cannot manage a job", "job", job, "computer", computer, "reason", why, "hint", hint)
}

func (m *Manager) noteIssuable(job, computer string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unissued, jobAt{job, computer})
}

// forgetUnissued drops what is not wanted any more of a computer; empty: of all.
func (m *Manager) forgetUnissued(only string, wanted map[string][]*keepwardv1.Job) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.unissued, func(at jobAt, _ *keepwardv1.Condition) bool {
		return (only == "" || at.computer == only) && !slices.ContainsFunc(wanted[at.computer], func(j *keepwardv1.Job) bool { return j.GetName() == at.job })
	})
}

func (m *Manager) unissuedConditions() []*keepwardv1.Condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Collect(maps.Values(m.unissued))
	slices.SortFunc(out, func(a, b *keepwardv1.Condition) int {
		switch {
		case a.GetText() < b.GetText():
			return -1
		case a.GetText() > b.GetText():
			return 1
		}
		return 0
	})
	return out
}
