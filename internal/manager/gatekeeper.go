package manager

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/gate"
	"keepward/internal/group"
	"keepward/internal/job"
	"keepward/internal/schedule"
)

// This file is what keeps tasks in the queue beside conflicts: internal/gate is told of every task
// and every rule, and asked when a task wants to leave the queue and when it gets its set.

// always are all hours.
var always, _ = schedule.ParseHours([]string{"daily"}, time.UTC)

// pauseKey is the setting that keeps the pause of the server; none: it is not paused.
const pauseKey = "pause"

// pause is how the server came to be paused.
type pause struct {
	Since  time.Time
	User   string
	Reason string
}

// loadRules takes over what administrators have set about the queue, and has every task looked at
// anew.
func (m *Manager) loadRules(ctx context.Context) error {
	select {
	case m.supply <- struct{}{}: // the last to come reads the newest state, and has the last word
		defer func() { <-m.supply }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := m.movement.load(ctx); err != nil {
		return err
	}
	rules, p, err := m.readRules(ctx)
	if err != nil {
		return err
	}
	digits, err := readDigits(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.paused, m.digits = p, digits
	if m.gate.Has(rules) { // thousands of sessions need not be told that nothing has changed
		m.mu.Unlock()
		return nil
	}
	m.gate.SetRules(rules)
	live := make([]*session, 0, len(m.live))
	for _, s := range m.live {
		live = append(live, s)
	}
	m.mu.Unlock()
	for _, s := range live {
		s.post("", evQueueNote{})
	}
	m.lookSooner()
	return nil
}

func (m *Manager) readRules(ctx context.Context) (r gate.Rules, p *pause, err error) {
	q, now := m.deps.DB.Read(), time.Now()
	if p, err = readPause(ctx, q); err != nil {
		return r, nil, err
	}
	r = gate.Rules{Paused: p != nil, Off: map[gate.Switch]time.Time{}, Limits: map[gate.Level]int{}}
	off, err := catalog.DisabledActivities(ctx, q, now)
	if err != nil {
		return r, p, err
	}
	for _, d := range off {
		if level, err := gate.ParseLevel(d.Level); err == nil {
			r.Off[gate.Switch{Level: level, Activity: gate.Activity(d.Activity)}] = d.Until
		}
	}
	limits, err := catalog.SessionLimits(ctx, q)
	if err != nil {
		return r, p, err
	}
	for text, n := range limits {
		if level, err := gate.ParseLevel(text); err == nil {
			r.Limits[level] = int(n)
		}
	}
	windows, err := catalog.Windows(ctx, q)
	if err != nil {
		return r, p, err
	}
	for _, w := range windows {
		one, err := config.WindowOf(w)
		if err != nil { // a zone that this host has not: rather nothing runs than at a wrong time
			m.log.Error("window cannot be read and stays closed", "window", w.GetName(), "error", err)
			one.Open, one.Closed = schedule.Hours{}, always
		}
		r.Windows = append(r.Windows, one)
	}
	r.Groups, err = groupsOfRules(ctx, q, r, now)
	return r, p, err
}

// groupsOfRules says which computers are in the groups that rules are about; nil: there are no such.
func groupsOfRules(ctx context.Context, q catalog.Queryer, r gate.Rules, now time.Time) (map[string][]string, error) {
	names := map[string]bool{}
	note := func(l gate.Level) {
		if l.Kind == gate.Group {
			names[l.Name] = true
		}
	}
	for s := range r.Off {
		note(s.Level)
	}
	for l := range r.Limits {
		note(l)
	}
	for _, w := range r.Windows {
		for _, l := range w.Levels {
			note(l)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	site, err := group.Load(ctx, q, now)
	if err != nil {
		return nil, err
	}
	groups := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, member := range site.Members(name).List {
			groups[member.GetComputer()] = append(groups[member.GetComputer()], name)
		}
	}
	return groups, nil
}

func readPause(ctx context.Context, q catalog.Queryer) (*pause, error) {
	v, err := catalog.Setting(ctx, q, pauseKey)
	if err != nil || v == nil {
		return nil, err
	}
	p := &pause{}
	if err := json.Unmarshal(v, p); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.pause", "read the pause of the server: %w", err)
	}
	return p, nil
}

// byItself says whether a session was started by nobody, as the activity "scheduler" has it.
func byItself(by string) bool {
	return by == bySchedule || by == byRetry || by == byMaintenance || by == byIdle || by == byProofs
}

// subject is a task as the gate sees it.
func (s *session) subject(t *task) gate.Subject {
	least, _ := job.LeastCharge(s.plan.interval.GetOnBattery()) // it was checked when the job was saved; 0: it does not matter
	return gate.Subject{
		LeastCharge: least, Unmetered: s.plan.interval.GetOnMetered() == job.SupplyWait,
		Task: t.row.ID, Session: t.row.Session, Type: t.typ, Priority: t.priority, Computer: t.row.Computer, Repository: t.row.Repository,
		Scheduled: byItself(s.row.StartedBy), Start: t.row.StartAt, After: t.after,
	}
}

// knock asks whether a task may leave the queue, or stay out of it. enter: it wants to leave; if
// nothing is in its way it counts as one that runs from now on.
func (m *Manager) knock(t *task, enter bool) (v gate.Verdict, conflict int64) {
	m.mu.Lock()
	m.release(t)
	if enter {
		conflict = m.board.conflict(t)
	}
	v = m.gate.Ask(t.row.ID, time.Now(), enter && conflict == 0)
	if enter && conflict == 0 && v.Reason.Zero() {
		m.board.begin(t)
	}
	wake := m.wakes()
	m.mu.Unlock()
	m.lookSooner()
	wake.post()
	return v, conflict
}

// look is what keeps a task in the queue now, or takes it back there.
func (s *session) look(t *task) evQueue {
	v, conflict := s.m.knock(t, t.row.Status == job.Queued)
	return evQueue{held: v, conflict: conflict, open: s.m.openSession(t.unsettled)}
}

// setUpAgain is why a task that has got its set must go back into the queue all the same; zero: it may
// run. What held when it left the queue may be otherwise now.
func (m *Manager) setUpAgain(t *task) job.Reason {
	if !t.lacking {
		return job.Reason{} // it has left meanwhile
	}
	m.mu.Lock()
	m.release(t)
	var conflict int64
	if t.typ == job.RebuildIndex {
		conflict = m.board.conflict(t)
	}
	v := m.gate.Ask(t.row.ID, time.Now(), conflict == 0)
	wake := m.wakes()
	m.mu.Unlock()
	m.lookSooner()
	wake.post()
	if v.Reason.Zero() && conflict != 0 {
		return job.Because(job.Conflict, strconv.FormatInt(conflict, 10))
	}
	return v.Reason
}

// noteGate tells the gate how a task stands; m.mu must be held.
func (m *Manager) noteGate(t *task) {
	if t.row.Status.Final() {
		m.gate.Remove(t.row.ID)
		return
	}
	m.gate.Note(t.row.ID, t.row.Status == job.Queued, t.counting())
}

// counting is whether the limits on how many sessions run count the task: it holds its set, or has
// left the queue a moment ago and may get it at once. One that waits for something is not counted,
// or what is switched off would keep others from running; when it gets its set it asks again, and so
// does one that has waited for its next attempt.
func (t *task) counting() gate.Counting {
	switch t.row.Status.Class() {
	case job.Active, job.Leaving:
		return gate.Runs
	}
	if t.row.Status == job.Waiting && t.lacking && t.row.Reason == nil {
		return gate.AsAsked
	}
	return gate.Idle
}

// reconsider tells the gate of a task that did not take the set it was counted for.
func (m *Manager) reconsider(t *task) {
	m.mu.Lock()
	m.noteGate(t)
	wake := m.wakes()
	m.mu.Unlock()
	wake.post()
}

// reprioritise moves a task among those that wait before a limit.
func (m *Manager) reprioritise(t *task) {
	m.mu.Lock()
	m.gate.Reprioritise(t.row.ID, t.priority)
	wake := m.wakes()
	m.mu.Unlock()
	wake.post()
}

// wakeList are tasks that are to be looked at again.
type wakeList []wakeUp

type wakeUp struct {
	s    *session
	task string
}

// wakes are the tasks that the gate wants looked at; m.mu must be held.
func (m *Manager) wakes() wakeList { return m.sessionsOf(m.gate.Wakes()) }

func (m *Manager) sessionsOf(tasks []string) wakeList {
	var list wakeList
	for _, id := range tasks {
		if s := m.byTask[id]; s != nil {
			list = append(list, wakeUp{s, id})
		}
	}
	return list
}

func (l wakeList) post() {
	for _, w := range l {
		w.s.post(w.task, evQueueNote{})
	}
}

// lookSooner has runGate look when it must look next.
func (m *Manager) lookSooner() {
	select {
	case m.gated <- struct{}{}:
	default: // one signal stands for any number
	}
}

// runGate looks at tasks again when time alone may have changed what keeps them.
func (m *Manager) runGate(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.gated:
		case <-timer.C:
		}
		now := time.Now()
		m.mu.Lock()
		wake := m.sessionsOf(m.gate.Due(now.Round(0)))
		at := m.gate.Next()
		m.mu.Unlock()
		wake.post()
		next := lookAgain // a timer does not follow a wall clock that is set
		if !at.IsZero() {
			next = min(next, at.Sub(now.Round(0)))
		}
		timer.Reset(max(next, 0))
	}
}

// codeNotSubmitted is a session that was not even put into the queue.
const codeNotSubmitted = "window.not-submitted"

// submittable are the computers of a session to be for which it may be put into the queue now: all
// of them, unless a job's schedule starts it, or a retry of that, and a window wants nothing of that
// while it is closed.
func (m *Manager) submittable(r request, now time.Time) ([]string, error) {
	if r.by != bySchedule && r.by != byRetry {
		return r.computers, nil
	}
	var able []string
	var why job.Reason
	m.mu.Lock()
	for _, c := range r.computers {
		refused := m.gate.NotSubmitted(gate.Subject{Type: r.typ, Computer: c, Repository: r.repository, Scheduled: true}, now)
		if refused.Zero() {
			able = append(able, c)
		} else {
			why = refused
		}
	}
	m.mu.Unlock()
	if len(able) == 0 && !why.Zero() {
		return nil, errs.New(errs.Busy, codeNotSubmitted, "submit %s: %s", r.typ, why.Text())
	}
	return able, nil
}

// heldBy says whether a reason is one that the gate gives.
func heldBy(r *keepwardv1.Reason) bool {
	row, ok := job.Code(r.GetCode()).Row()
	return ok && row.Group == job.QueueGroup && row.Code != job.Conflict
}
