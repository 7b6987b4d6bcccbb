package manager

import (
	"context"
	"database/sql"
	"slices"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// This file is how transports and agents are told what was issued, and when what was issued is forgotten.

// putStanding tells every transport that is there which attempts of a computer hold, and forgets those
// that nobody can open any more. lost: one of them does not have what it was told before.
func (m *Manager) putStanding(ctx context.Context, computer string, trusted bool, had, holds []*issue) (lost bool, err error) {
	var transports []string
	for _, i := range had {
		if !slices.Contains(transports, i.row.Transport) {
			transports = append(transports, i.row.Transport)
		}
	}
	for _, name := range transports {
		client, ok := m.deps.Standing.StandingTransport(name)
		if !ok {
			continue // it is told when it is there; until then its attempts hold as long as they were issued for
		}
		req := &keepwardv1.PutStandingRequest{Order: &keepwardv1.Order{Term: m.deps.Term(), Owner: m.deps.Owner}, Agent: computer}
		for _, i := range had {
			if i.row.Transport != name {
				continue
			}
			orders, err := m.ordersOf(ctx, i, slices.Contains(holds, i))
			if err != nil {
				return false, err
			}
			if trusted {
				req.Attempts = append(req.Attempts, orders...)
				continue
			}
			for _, a := range i.attempts {
				req.Revoked = append(req.Revoked, a.ID)
			}
		}
		callCtx, cancel := context.WithTimeout(ctx, m.set.Order)
		res, err := client.PutStanding(callCtx, connect.NewRequest(req))
		cancel()
		if err != nil {
			return false, err
		}
		lost = lost || len(res.Msg.GetUnknown()) > 0
		if err := m.forgetStanding(ctx, computer, name, trusted, had, holds, res.Msg); err != nil {
			return false, err
		}
	}
	return lost, nil
}

// ordersOf are the attempts of an issue that its transport shall keep: all, if it holds, else those
// that were opened and whose end the catalog does not have for good.
func (m *Manager) ordersOf(ctx context.Context, i *issue, holds bool) ([]*keepwardv1.StandingOrder, error) {
	q := m.deps.DB.Read()
	settled, err := catalog.SettledStanding(ctx, q, i.row.ID)
	if err != nil {
		return nil, err
	}
	parent, err := catalog.ParentPoint(ctx, q, i.row.Computer, i.row.Job, i.row.Repository)
	if err != nil {
		return nil, err
	}
	full := map[string]*keepwardv1.StandingOrder{}
	for _, o := range i.orders {
		full[o.GetAttempt()] = o
	}
	var out []*keepwardv1.StandingOrder
	for _, a := range i.attempts {
		if slices.Contains(settled, a.ID) || !holds && a.Session == 0 {
			continue
		}
		o := full[a.ID]
		if o == nil {
			o = &keepwardv1.StandingOrder{Attempt: a.ID}
		}
		o.Parent = parent
		out = append(out, o)
	}
	return out, nil
}

// forgetStanding removes what is used up, and what a transport has confirmed that nobody can open.
func (m *Manager) forgetStanding(ctx context.Context, computer, transport string, trusted bool, had, holds []*issue, res *keepwardv1.PutStandingResponse) error {
	var gone []string
	for _, i := range had {
		if i.row.Transport != transport {
			continue
		}
		settled, err := catalog.SettledStanding(ctx, m.deps.DB.Read(), i.row.ID)
		if err != nil {
			return err
		}
		i.attempts = slices.DeleteFunc(i.attempts, func(a catalog.StandingAttempt) bool {
			over := slices.Contains(settled, a.ID)
			if a.Session == 0 && !slices.Contains(res.GetOpened(), a.ID) {
				over = !trusted || !slices.Contains(holds, i) || slices.Contains(res.GetUnknown(), a.ID)
			}
			if over {
				gone = append(gone, a.ID)
			}
			return over
		})
	}
	if err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		if err := catalog.ForgetStandingAttempts(ctx, tx, gone); err != nil {
			return err
		}
		return catalog.ForgetStandingPolicies(ctx, tx, computer, !trusted)
	}); err != nil {
		return err
	}
	m.noteIssued(false, gone...)
	return nil
}

// putPolicies tells an agent what it manages. unknown: it does not have all that it should have.
func (m *Manager) putPolicies(ctx context.Context, computer string, had, current []*issue) (unknown bool, err error) {
	client, ok := m.deps.Standing.StandingAgent(computer)
	if !ok {
		return false, nil
	}
	req := &keepwardv1.PutPoliciesRequest{Order: &keepwardv1.Order{Term: m.deps.Term()}}
	for _, i := range current {
		p := i.policy
		if p == nil {
			p = &keepwardv1.AgentPolicy{Id: i.row.ID}
		}
		req.Policies = append(req.Policies, p)
	}
	callCtx, cancel := context.WithTimeout(ctx, m.set.Order)
	defer cancel()
	res, err := client.PutPolicies(callCtx, connect.NewRequest(req))
	if err != nil {
		return false, err
	}
	has := func(i *issue) bool {
		return slices.Contains(current, i) && !slices.Contains(res.Msg.GetUnknown(), i.row.ID)
	}
	err = m.deps.DB.Write(ctx, func(tx *sql.Tx) error { // it may be called again: the rows are changed behind it
		for _, i := range had {
			if i.row.Delivered == has(i) {
				continue
			}
			if err := catalog.PutStandingPolicy(ctx, tx, i.row.ID, has(i), i.row.Superseded); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, i := range had {
		i.row.Delivered = has(i)
	}
	return len(res.Msg.GetUnknown()) > 0, nil
}
