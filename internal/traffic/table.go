package traffic

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"
)

// Task is one that moves data, by its attempt.
type Task struct {
	Attempt    string
	Session    int64
	Task       string
	Computer   string
	Repository string
	Restore    bool
	// Agent and Mover are the addresses of its ends; not valid: not known yet. With no agent it
	// uses no network.
	HasAgent     bool
	Agent, Mover netip.Addr
	// Local: its data stays on one host.
	Local bool
}

// Meter is what an end has moved in all, and how long its rates held it up.
type Meter struct {
	Bytes [kinds]int64
	Held  [kinds]time.Duration
}

// The kinds of what is moved.
const (
	Network = iota
	Read
	Write
	kinds
)

// Rates are bounds in bytes a second; 0: none.
type Rates [kinds]int64

// Disk is what a repository may read and write in bytes a second; 0: no bound.
type Disk struct{ Read, Write int64 }

// Share is what a task may move, and what it does.
type Share struct {
	Rates
	// Rule is the rule that bounds it over the network.
	Rule string
	// Moving is what it moves over the network now.
	Moving int64
}

const (
	// lookEvery is the shortest time over which a speed is told from two readings.
	lookEvery = 200 * time.Millisecond
	// eagerFor is how long a task that was held up once counts as wanting all it can get: a
	// pause of it gives nothing away that it wants back at once.
	eagerFor = 2 * time.Second
	// heldShare of a time that it was held up makes it want more.
	heldShare = 0.05
	// nearShare of what it may makes it want more, too.
	nearShare = 0.9
	// spare is how much more a task gets than it moves, so that it can show that it wants more.
	spare = 1.25
	// leastWant is what each is good for, in bytes a second.
	leastWant = 16 << 10
	// least is the lowest share: rounded down to 0 it would be none.
	least = 1 << 10
)

// flow is what is known of one task. An end is the agent (0) or the mover (1).
type flow struct {
	Task
	ends  [2]reading
	share Share
	// eager is until when it wants all it can get, by kind.
	eager [kinds]time.Time
	speed [kinds]float64
}

// reading is the last of one end.
type reading struct {
	at    time.Time
	meter Meter
	speed [kinds]float64
}

// Table is the tasks that move, the rules, and the repositories with a bound.
type Table struct {
	rules []Rule
	disks map[string]Disk
	flows map[string]*flow
	// moved is what was moved over the network since somebody asked last, and under each rule.
	moved int64
	under map[string]int64
}

// NewTable makes one without rules and tasks.
func NewTable() *Table { return &Table{disks: map[string]Disk{}, flows: map[string]*flow{}} }

// SetRules replaces the rules.
func (t *Table) SetRules(rules []Rule) { t.rules = rules }

// SetDisks replaces what repositories may read and write, by name.
func (t *Table) SetDisks(disks map[string]Disk) { t.disks = disks }

// Idle says that nothing is bounded, so that nothing has to be known.
func (t *Table) Idle() bool {
	return len(t.rules) == 0 && len(t.disks) == 0
}

// Add takes a task in, or what is new of it. An address that was known stays unless there is another.
func (t *Table) Add(task Task, now time.Time) {
	f := t.flows[task.Attempt]
	if f == nil {
		f = &flow{}
		for k := range f.eager { // nobody knows yet what it can move
			f.eager[k] = now.Add(eagerFor)
		}
		t.flows[task.Attempt] = f
	}
	if !task.Agent.IsValid() {
		task.Agent = f.Agent
	}
	if !task.Mover.IsValid() {
		task.Mover = f.Mover
	}
	task.Local = task.Local || f.Local
	f.Task = task
}

// Remove forgets a task.
func (t *Table) Remove(attempt string) { delete(t.flows, attempt) }

// Find is a task that moves.
func (t *Table) Find(attempt string) (Task, bool) {
	f := t.flows[attempt]
	if f == nil {
		return Task{}, false
	}
	return f.Task, true
}

// Met notes the addresses that the ends of a data connection really have.
func (t *Table) Met(attempt string, agent, mover netip.Addr, local bool) {
	if f := t.flows[attempt]; f != nil {
		f.Agent, f.Mover, f.Local = agent, mover, local
	}
}

// Metered notes what an end has moved by now. end: 0 the agent's, 1 the mover's.
func (t *Table) Metered(attempt string, end int, m Meter, now time.Time) {
	f := t.flows[attempt]
	if f == nil {
		return
	}
	r := &f.ends[end]
	since := now.Sub(r.at)
	if r.at.IsZero() {
		*r = reading{at: now, meter: m}
		return
	}
	if since < lookEvery {
		return
	}
	for k := range kinds {
		r.speed[k] = max(0, float64(m.Bytes[k]-r.meter.Bytes[k])/since.Seconds())
		held := m.Held[k] - r.meter.Held[k]
		if bound := f.share.Rates[k]; held > time.Duration(heldShare*float64(since)) || bound > 0 && r.speed[k] > nearShare*float64(bound) {
			f.eager[k] = now.Add(eagerFor)
		}
		f.speed[k] = max(f.ends[0].speed[k], f.ends[1].speed[k])
	}
	t.count(f, m.Bytes[Network]-r.meter.Bytes[Network])
	r.at, r.meter = now, m
	f.share.Moving = int64(f.speed[Network])
}

// Decide makes out everybody's share anew. next is when that changes by itself; zero: it does not.
func (t *Table) Decide(now time.Time) (next time.Time) {
	names := slices.Sorted(maps.Keys(t.flows))
	flows := make([]*flow, len(names))
	for i, name := range names {
		flows[i] = t.flows[name]
	}
	for _, r := range t.rules {
		next = earliest(next, r.Change(now))
	}
	t.network(flows, now)
	t.disk(flows, now, Read, func(d Disk) int64 { return d.Read })
	t.disk(flows, now, Write, func(d Disk) int64 { return d.Write })
	for _, f := range flows {
		for k := range kinds {
			if f.share.Rates[k] > 0 && f.eager[k].After(now) && len(flows) > 1 {
				next = earliest(next, f.eager[k].Add(time.Millisecond))
			}
		}
	}
	return next
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (t *Table) network(flows []*flow, now time.Time) {
	var bounds []bound
	var rules []string
	for _, r := range t.rules {
		if !r.Holds(now) {
			continue
		}
		b := bound{limit: float64(r.Limit)}
		for i, f := range flows {
			if f.HasAgent && r.Concerns(f.Task) {
				b.of = append(b.of, i)
			}
		}
		bounds, rules = append(bounds, b), append(rules, r.Name)
	}
	by := give(flows, bounds, Network, now)
	for i, f := range flows {
		f.share.Rule = ""
		if by[i] >= 0 {
			f.share.Rule = rules[by[i]]
		}
	}
}

func (t *Table) disk(flows []*flow, now time.Time, kind int, limit func(Disk) int64) {
	var bounds []bound
	for _, name := range slices.Sorted(maps.Keys(t.disks)) {
		if limit(t.disks[name]) == 0 {
			continue
		}
		b := bound{limit: float64(limit(t.disks[name]))}
		for i, f := range flows {
			if f.Repository == name {
				b.of = append(b.of, i)
			}
		}
		bounds = append(bounds, b)
	}
	give(flows, bounds, kind, now)
}

// give shares bounds of one kind out, and answers which of them each flow met.
func give(flows []*flow, bounds []bound, kind int, now time.Time) []int {
	wants := make([]float64, len(flows))
	for i, f := range flows {
		wants[i] = max(f.speed[kind]*spare, leastWant)
		if f.eager[kind].After(now) {
			wants[i] = math.Inf(1)
		}
	}
	shares, by := share(wants, bounds)
	for i, f := range flows {
		f.share.Rates[kind] = 0
		if !math.IsInf(shares[i], 1) {
			f.share.Rates[kind] = max(int64(shares[i]), least)
		}
	}
	return by
}

// Share is that of a task as last decided.
func (t *Table) Share(attempt string) (Share, bool) {
	f := t.flows[attempt]
	if f == nil {
		return Share{}, false
	}
	return f.share, true
}

// Attempts are the tasks that move, sorted.
func (t *Table) Attempts() []string { return slices.Sorted(maps.Keys(t.flows)) }

// count adds bytes that one end of a task has sent. What both ends send is what the task moves.
func (t *Table) count(f *flow, bytes int64) {
	if bytes <= 0 {
		return
	}
	t.moved += bytes
	for _, r := range t.rules {
		if f.HasAgent && r.Concerns(f.Task) {
			if t.under == nil {
				t.under = map[string]int64{}
			}
			t.under[r.Name] += bytes
		}
	}
}

// TakeMoved is how many bytes all tasks have moved over the network since it was called last, and those under each rule
// that is about any of them.
func (t *Table) TakeMoved() (all int64, under map[string]int64) {
	all, under = t.moved, t.under
	t.moved, t.under = 0, nil
	return all, under
}

// Under are the tasks that a rule of that name concerns now, whether it is what bounds them or not.
func (t *Table) Under(rule string) []string {
	var out []string
	for _, r := range t.rules {
		if r.Name != rule {
			continue
		}
		for _, name := range t.Attempts() {
			if f := t.flows[name]; f.HasAgent && r.Concerns(f.Task) {
				out = append(out, name)
			}
		}
	}
	return out
}
