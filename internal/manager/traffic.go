package manager

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/rate"
	"keepward/internal/traffic"
	"keepward/internal/wire"
)

// Pacer is a Nodes that can tell nodes what their attempts may move.
type Pacer interface {
	// SetRates tells a node; one that is not connected is errs.Unavailable.
	SetRates(ctx context.Context, n Node, req *keepwardv1.SetRatesRequest) error
	// Address is where a node's link comes from; not valid: it is not known.
	Address(n Node) netip.Addr
}

const (
	// trafficEvery is how long readings gather before shares are made out anew. Tasks and rules
	// that come and go do not wait for it.
	trafficEvery = 250 * time.Millisecond
	// ratesAgain is the pause after a node could not be told; its next heartbeat tells it too.
	ratesAgain = time.Second
	// ratesStep is by how much of itself a share has to change to be worth an order.
	ratesStep = 0.01
)

// movement is all tasks that move data, and what each of their ends was told. Its lock is taken
// after Manager.mu, never before.
type movement struct {
	m       *Manager
	pacer   Pacer         // nil: nobody can be told
	kick    chan struct{} // one signal: shares are to be made out at once
	metered chan struct{} // one signal: there are new readings

	mu    sync.Mutex
	table *traffic.Table
	ends  map[string][2]Node          // by attempt: agent, mover
	of    map[string]string           // attempts by task
	told  map[toldRates]traffic.Rates // none: the end was not told to begin, or not by this server
	busy  map[Node]bool               // being told
	moved traffic.History             // what moved lately
	noted time.Time                   // up to when; zero: nothing runs, and there is nothing to keep
	said  uint32                      // how often this server has said what somebody may move
}

type toldRates struct {
	node    Node
	attempt string
}

func newMovement(m *Manager) *movement {
	v := &movement{
		m: m, kick: make(chan struct{}, 1), metered: make(chan struct{}, 1), table: traffic.NewTable(),
		ends: map[string][2]Node{}, of: map[string]string{}, told: map[toldRates]traffic.Rates{}, busy: map[Node]bool{},
	}
	v.pacer, _ = m.deps.Nodes.(Pacer)
	return v
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// load takes over rules and what repositories may read and write.
func (v *movement) load(ctx context.Context) error {
	rules, err := catalog.TrafficRules(ctx, v.m.deps.DB.Read())
	if err != nil {
		return err
	}
	repositories, err := catalog.Repositories(ctx, v.m.deps.DB.Read())
	if err != nil {
		return err
	}
	var list []traffic.Rule
	for _, r := range rules {
		one, err := config.TrafficOf(r)
		if err != nil {
			v.m.log.Error("a traffic rule does not hold, since it cannot be read", "rule", r.GetName(), "error", err)
			continue
		}
		list = append(list, one)
	}
	disks := map[string]traffic.Disk{}
	for _, r := range repositories {
		read, _ := rate.Parse(r.Upkeep.ReadLimit) // empty, or checked when it was saved
		write, _ := rate.Parse(r.Upkeep.WriteLimit)
		if read > 0 || write > 0 {
			disks[r.Name] = traffic.Disk{Read: read, Write: write}
		}
	}
	v.mu.Lock()
	v.table.SetRules(list)
	v.table.SetDisks(disks)
	v.mu.Unlock()
	signal(v.kick)
	return nil
}

// follow takes a task in that has an attempt, and forgets one that has none any more.
func (v *movement) follow(s *session, t *task) {
	id := t.att.row.ID
	v.mu.Lock()
	defer v.mu.Unlock()
	_, known := v.ends[id]
	if t.att.settled() || t.row.Status.Final() {
		if known {
			for _, n := range v.ends[id] {
				delete(v.told, toldRates{n, id})
			}
			delete(v.ends, id)
			delete(v.of, t.row.ID)
			v.table.Remove(id)
			signal(v.kick)
		}
		return
	}
	if known || !t.att.mover.takesPart() {
		return
	}
	v.ends[id] = [2]Node{t.att.agent.node, t.att.mover.node}
	v.of[t.row.ID] = id
	v.table.Add(traffic.Task{
		Attempt: id, Session: s.row.ID, Task: t.row.ID, Computer: t.row.Computer, Repository: t.row.Repository,
		Restore: t.typ == job.Restore, HasAgent: t.att.agent.takesPart(),
	}, time.Now())
	signal(v.kick)
}

// start answers what an attempt may move from its first byte on. mover is where its mover is
// reached, once that is known.
func (v *movement) start(attempt string, p part, mover string) *keepwardv1.Rates {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := v.ends[attempt][1]
	if p == partAgent {
		n = v.ends[attempt][0]
	}
	if v.table.Idle() {
		v.told[toldRates{n, attempt}] = traffic.Rates{}
		return nil
	}
	if task, ok := v.table.Find(attempt); ok {
		if a, err := netip.ParseAddrPort(mover); err == nil {
			task.Mover = a.Addr()
			v.table.Add(task, time.Now())
		}
	}
	v.decide(time.Now())
	s, ok := v.table.Share(attempt)
	if !ok {
		return nil
	}
	v.told[toldRates{n, attempt}] = s.Rates
	signal(v.kick) // what the others may move is less now
	return v.say(s.Rates)
}

// say makes rates what an end is told. Answers to heartbeats and orders pass each other on their way, so
// each has a number, which goes on over a start of the server with its term. mu must be held.
func (v *movement) say(r traffic.Rates) *keepwardv1.Rates {
	v.said++
	return &keepwardv1.Rates{
		Network: r[traffic.Network], Read: r[traffic.Read], Write: r[traffic.Write], Number: v.m.deps.Term()<<32 | uint64(v.said),
	}
}

// decide makes shares out anew; mu must be held.
func (v *movement) decide(now time.Time) time.Time {
	if v.pacer != nil {
		for id, ends := range v.ends {
			task, _ := v.table.Find(id)
			if !task.Agent.IsValid() && ends[0].Name != "" || !task.Mover.IsValid() {
				if !task.Agent.IsValid() && ends[0].Name != "" {
					task.Agent = v.pacer.Address(ends[0])
				}
				if !task.Mover.IsValid() {
					task.Mover = v.pacer.Address(ends[1])
				}
				v.table.Add(task, now)
			}
		}
	}
	return v.table.Decide(now)
}

// meter takes a reading of one end. Whose address is what is the mover's to say: an agent is not
// asked whether a rule is about it.
func (v *movement) meter(n Node, attempt string, r *keepwardv1.RateMeter) {
	if r == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	ends, ok := v.ends[attempt]
	if !ok {
		return
	}
	end := slices.Index(ends[:], n)
	if end < 0 {
		return
	}
	if n == ends[1] {
		agent, aerr := netip.ParseAddrPort(r.GetPeerAddress())
		mover, merr := netip.ParseAddrPort(r.GetOwnAddress())
		if r.GetLocal() || aerr == nil && merr == nil {
			v.table.Met(attempt, agent.Addr(), mover.Addr(), r.GetLocal())
		}
	}
	m := traffic.Meter{
		Bytes: [3]int64{traffic.Network: r.GetSentBytes(), traffic.Read: r.GetReadBytes(), traffic.Write: r.GetWrittenBytes()},
	}
	for k, ms := range [3]int64{traffic.Network: r.GetSentHeldMillis(), traffic.Read: r.GetReadHeldMillis(), traffic.Write: r.GetWrittenHeldMillis()} {
		m.Held[k] = time.Duration(ms) * time.Millisecond
	}
	v.table.Metered(attempt, end, m, time.Now())
	if !v.table.Idle() {
		signal(v.metered)
	}
}

// note keeps what was moved since the last time, for those who look at it, when it is time. next is when it is time again;
// zero: when something moves.
func (v *movement) note(now time.Time) (next time.Time) {
	busy := len(v.table.Attempts()) > 0
	switch {
	case v.noted.IsZero() && !busy:
		return time.Time{}
	case v.noted.IsZero():
		v.table.TakeMoved() // of before
		v.noted = now
	case now.Sub(v.noted) >= traffic.HistoryEvery:
		over := now.Sub(v.noted).Seconds()
		all, under := v.table.TakeMoved()
		for rule, bytes := range under {
			under[rule] = int64(float64(bytes) / over)
		}
		v.moved.Note(now, int64(float64(all)/over), under)
		v.noted = now
		if !busy && v.moved.Empty() {
			v.noted = time.Time{}
			return v.noted
		}
	}
	return v.noted.Add(traffic.HistoryEvery)
}

// ratesOf are those of all attempts of a node, for the answer to its heartbeat.
func (v *movement) ratesOf(n Node, attempts []string) []*keepwardv1.AttemptRates {
	if len(attempts) == 0 {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []*keepwardv1.AttemptRates
	if !v.table.Idle() {
		v.decide(time.Now())
	}
	for _, id := range attempts {
		if s, ok := v.table.Share(id); ok {
			out = append(out, &keepwardv1.AttemptRates{Attempt: id, Rates: v.say(s.Rates)})
			v.told[toldRates{n, id}] = s.Rates
		}
	}
	return out
}

// serve makes shares out and tells nodes of theirs until ctx ends.
func (v *movement) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		timer := time.NewTimer(0)
		defer timer.Stop()
		next := time.Time{}
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-v.kick:
				next = v.tell(ctx, g)
			case <-timer.C:
				next = v.tell(ctx, g)
			case <-v.metered:
				if soon := time.Now().Add(trafficEvery); next.IsZero() || soon.Before(next) {
					next = soon
				}
			}
			timer.Stop()
			if !next.IsZero() {
				timer.Reset(max(time.Until(next), 0))
			}
		}
	})
	return g.Wait()
}

// tell makes shares out and tells each node what is new of its own, one call at a time.
func (v *movement) tell(ctx context.Context, g *errgroup.Group) (next time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next = v.decide(time.Now())
	if due := v.note(time.Now()); next.IsZero() || !due.IsZero() && due.Before(next) {
		next = due
	}
	if v.pacer == nil {
		return next
	}
	orders := map[Node][]*keepwardv1.AttemptRates{}
	for id, ends := range v.ends {
		s, _ := v.table.Share(id)
		for _, n := range ends {
			told, begun := v.told[toldRates{n, id}]
			if !begun || v.busy[n] || !changedRates(told, s.Rates, n) {
				continue // it begins with its share, or says first that it runs
			}
			orders[n] = append(orders[n], &keepwardv1.AttemptRates{Attempt: id, Rates: v.say(s.Rates)})
		}
	}
	for n, list := range orders {
		v.busy[n] = true
		g.Go(func() error {
			v.order(ctx, n, list)
			return nil
		})
	}
	return next
}

// changedRates tells whether an end must hear of new rates. The disk is no matter of agents.
func changedRates(told, now traffic.Rates, n Node) bool {
	for k := range now {
		if n.Role == wire.RoleAgent && k != traffic.Network {
			continue
		}
		d := now[k] - told[k]
		if d != 0 && (told[k] == 0 || now[k] == 0 || float64(max(d, -d)) > ratesStep*float64(told[k])) {
			return true
		}
	}
	return false
}

func (v *movement) order(ctx context.Context, n Node, list []*keepwardv1.AttemptRates) {
	call, cancel := context.WithTimeout(ctx, v.m.set.Order)
	err := v.pacer.SetRates(call, n, &keepwardv1.SetRatesRequest{Term: v.m.deps.Term(), Attempts: list})
	cancel()
	if err != nil {
		v.m.log.Debug("a node was not told its rates", "node", n.String(), "error", err)
		if errs.KindOf(err) == errs.Unavailable || ctx.Err() != nil {
			v.mu.Lock() // its next heartbeat tells it
			delete(v.busy, n)
			v.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(ratesAgain):
		}
	}
	v.mu.Lock()
	delete(v.busy, n)
	if err == nil {
		for _, r := range list {
			if _, open := v.ends[r.GetAttempt()]; open {
				v.told[toldRates{n, r.GetAttempt()}] = traffic.Rates{
					traffic.Network: r.GetRates().GetNetwork(), traffic.Read: r.GetRates().GetRead(), traffic.Write: r.GetRates().GetWrite(),
				}
			}
		}
	}
	v.mu.Unlock()
	signal(v.kick)
}

// rate is what bounds a task now; nil: nothing does.
func (v *movement) rate(task string) *keepwardv1.TaskRate {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.table.Share(v.of[task])
	if !ok || s.Rates == (traffic.Rates{}) {
		return nil
	}
	return taskRate(s)
}

func taskRate(s traffic.Share) *keepwardv1.TaskRate {
	return &keepwardv1.TaskRate{Rule: s.Rule, Network: s.Rates[traffic.Network], Moving: s.Moving, Read: s.Rates[traffic.Read], Write: s.Rates[traffic.Write]}
}

// Rates are what the attempts of a node may move.
func (m *Manager) Rates(n Node) []*keepwardv1.AttemptRates {
	select {
	case <-m.ready:
	default:
		return nil // nobody knows yet what runs
	}
	m.mu.Lock()
	attempts := slices.Sorted(maps.Keys(m.atNode[n]))
	m.mu.Unlock()
	return m.movement.ratesOf(n, attempts)
}
