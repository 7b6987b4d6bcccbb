package manager

import (
	"context"
	"database/sql"
	"net/netip"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/traffic"
)

// KnownAddresses are those of computers and transports, as far as they are known.
func KnownAddresses(ctx context.Context, q catalog.Queryer) ([]netip.Addr, error) {
	computers, err := catalog.Computers(ctx, q)
	if err != nil {
		return nil, err
	}
	transports, err := catalog.Transports(ctx, q)
	if err != nil {
		return nil, err
	}
	var texts []string
	for _, c := range computers {
		texts = append(texts, c.Address)
	}
	for _, t := range transports {
		texts = append(texts, t.Address, t.DataAddress)
	}
	var out []netip.Addr
	for _, text := range texts {
		a, err := netip.ParseAddr(text)
		if p, perr := netip.ParseAddrPort(text); perr == nil {
			a, err = p.Addr(), nil
		}
		if err == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, nil
}

// ListTrafficRules lists rules and how they stand.
func (m *Manager) ListTrafficRules(ctx context.Context, req *connect.Request[keepwardv1.ListTrafficRulesRequest]) (*connect.Response[keepwardv1.ListTrafficRulesResponse], error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	if name := req.Msg.GetName(); name != "" {
		r, err := catalog.GetTrafficRule(ctx, m.deps.DB.Read(), name)
		if err != nil {
			return nil, err
		}
		m.movement.show(r, time.Now())
		return connect.NewResponse(&keepwardv1.ListTrafficRulesResponse{Rules: []*keepwardv1.TrafficRule{r}}), nil
	}
	list, err := catalog.TrafficRules(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		m.movement.show(r, time.Now())
	}
	res := &keepwardv1.ListTrafficRulesResponse{Rules: list}
	m.movement.mu.Lock()
	recent, newest := m.movement.moved.Recent("")
	m.movement.mu.Unlock()
	if len(recent) > 0 {
		res.RecentBytesPerSecond, res.RecentEvery, res.RecentUntil = recent, durationpb.New(traffic.HistoryEvery), stamp(newest)
	}
	return connect.NewResponse(res), nil
}

// show fills in how a rule is now.
func (v *movement) show(r *keepwardv1.TrafficRule, now time.Time) {
	rule, err := config.TrafficOf(r)
	if err != nil {
		return
	}
	r.Holds, r.Change, r.BytesPerSecond = rule.Holds(now), stamp(rule.Change(now)), rule.Limit
	v.mu.Lock()
	defer v.mu.Unlock()
	r.RecentBytesPerSecond, _ = v.moved.Recent(r.GetName())
	for _, id := range v.table.Under(r.GetName()) {
		task, _ := v.table.Find(id)
		s, _ := v.table.Share(id)
		r.MovingBytesPerSecond += s.Moving
		r.Tasks = append(r.Tasks, &keepwardv1.TrafficTask{Session: task.Session, Task: task.Task, Computer: task.Computer, Rate: taskRate(s)})
	}
	slices.SortFunc(r.Tasks, func(a, b *keepwardv1.TrafficTask) int { return int(a.Session - b.Session) })
}

// SaveTrafficRule makes a rule or changes it; it holds when it answers.
func (m *Manager) SaveTrafficRule(ctx context.Context, req *connect.Request[keepwardv1.SaveTrafficRuleRequest]) (*connect.Response[keepwardv1.SaveTrafficRuleResponse], error) {
	r := req.Msg.GetRule()
	if r == nil {
		return nil, errs.New(errs.Invalid, "traffic.limit", "save traffic rule: nothing was sent")
	}
	if err := config.Error(config.CheckTraffic(r)); err != nil {
		return nil, err
	}
	err := m.changeRules(ctx, "traffic rule "+r.GetName(), func(tx *sql.Tx, now time.Time) error {
		return catalog.PutTrafficRule(ctx, tx, r, now)
	})
	if err != nil {
		return nil, err
	}
	known, err := KnownAddresses(ctx, m.deps.DB.Read())
	if err != nil {
		return nil, err
	}
	saved, err := catalog.GetTrafficRule(ctx, m.deps.DB.Read(), r.GetName())
	if err != nil {
		return nil, err
	}
	m.movement.show(saved, time.Now())
	return connect.NewResponse(&keepwardv1.SaveTrafficRuleResponse{Rule: saved, Warnings: config.WarnTraffic(saved, known)}), nil
}

// DeleteTrafficRule removes a rule; what it held up goes on at once.
func (m *Manager) DeleteTrafficRule(ctx context.Context, req *connect.Request[keepwardv1.DeleteTrafficRuleRequest]) (*connect.Response[keepwardv1.DeleteTrafficRuleResponse], error) {
	name := req.Msg.GetName()
	err := m.changeRules(ctx, "traffic rule "+name+" deleted", func(tx *sql.Tx, _ time.Time) error {
		if _, err := catalog.GetTrafficRule(ctx, tx, name); err != nil {
			return err
		}
		return catalog.DeleteTrafficRule(ctx, tx, name)
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.DeleteTrafficRuleResponse{}), nil
}
