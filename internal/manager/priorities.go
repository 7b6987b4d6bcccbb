package manager

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file is which priority tasks get, and how administrators set the digits of it.

// readDigits are the digits that were set. One of something that is no more is as if nobody had set
// it.
func readDigits(ctx context.Context, q catalog.Queryer) (job.SetDigits, error) {
	rows, err := catalog.PriorityDigits(ctx, q)
	if err != nil {
		return nil, err
	}
	set := job.SetDigits{}
	for level, digit := range rows {
		if d, err := job.ParseDigit(level); err == nil {
			set[d] = int(digit)
		}
	}
	return set, nil
}

// priorities are those of the tasks of a session to be.
func (m *Manager) priorities(ctx context.Context, r request) ([]int, error) {
	list := make([]int, len(r.computers))
	m.mu.Lock()
	set := m.digits
	m.mu.Unlock()
	precedence := job.Precedence(m.knobs().Text("priority_precedence"))
	for i, computer := range r.computers {
		if list[i] = r.priority; r.priority != 0 {
			continue
		}
		agent, err := m.agentOf(ctx, r.typ, computer, set)
		if err != nil {
			return nil, err
		}
		d := set.Digits(r.typ, computer, agent)
		if r.high {
			d = d.High()
		}
		list[i] = d.Priority(precedence)
	}
	return list, nil
}

// agentOf is the kind of agent that works for a task. Where no digit of an agent is set, nobody
// needs to know.
func (m *Manager) agentOf(ctx context.Context, t job.Type, computer string, set job.SetDigits) (string, error) {
	asked := false
	for d := range set {
		asked = asked || d.Of == job.DigitOfAgent
	}
	if !asked || computer == "" {
		return "", nil
	}
	c, err := catalog.GetComputer(ctx, m.deps.DB.Read(), computer)
	if errs.KindOf(err) == errs.NotFound {
		return "", nil // its task says so when it looks for it
	}
	return job.AgentOf(t, c.OS), err
}

// ListPriorities lists the digits of all types and agents, and of the computers that have their
// own.
func (m *Manager) ListPriorities(ctx context.Context, _ *connect.Request[keepwardv1.ListPrioritiesRequest]) (*connect.Response[keepwardv1.ListPrioritiesResponse], error) {
	set, err := readDigits(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	var list []job.Digit
	for _, r := range job.Types {
		if r.Implemented {
			list = append(list, job.Digit{Of: job.DigitOfType, Name: string(r.Type)})
		}
	}
	for _, a := range job.ImplementedAgents() {
		list = append(list, job.Digit{Of: job.DigitOfAgent, Name: a})
	}
	others := slices.SortedFunc(maps.Keys(set), func(a, b job.Digit) int { return strings.Compare(a.String(), b.String()) })
	for _, d := range others {
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	out := &keepwardv1.ListPrioritiesResponse{}
	for _, d := range list {
		out.Priorities = append(out.Priorities, digitRow(d, set))
	}
	return connect.NewResponse(out), nil
}

func digitRow(d job.Digit, set job.SetDigits) *keepwardv1.PriorityDigit {
	row := &keepwardv1.PriorityDigit{Level: d.String(), Default: int32(d.Default())}
	if v, ok := set[d]; ok {
		digit := int32(v)
		row.Digit = &digit
	}
	return row
}

// SetPriority sets a digit for the sessions to come, or gives it its default back.
func (m *Manager) SetPriority(ctx context.Context, req *connect.Request[keepwardv1.SetPriorityRequest]) (*connect.Response[keepwardv1.SetPriorityResponse], error) {
	p := &keepwardv1.PriorityDigit{Level: req.Msg.GetLevel(), Digit: req.Msg.Digit}
	what := fmt.Sprintf("priority of %s reset", p.Level)
	if p.Digit != nil {
		what = fmt.Sprintf("priority of %s: %d", p.Level, *p.Digit)
	}
	err := m.changeRules(ctx, what, func(tx *sql.Tx, _ time.Time) error {
		site, err := ruleSite(ctx, tx)
		if err != nil {
			return err
		}
		if err := config.Error(config.CheckPriority(p, site)); err != nil {
			return err
		}
		return catalog.SetPriorityDigit(ctx, tx, p.Level, p.Digit)
	})
	if err != nil {
		return nil, err
	}
	d, err := job.ParseDigit(p.Level)
	if err != nil {
		return nil, err
	}
	p.Default = int32(d.Default())
	return connect.NewResponse(&keepwardv1.SetPriorityResponse{Priority: p}), nil
}
