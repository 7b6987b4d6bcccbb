package manager

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/gate"
	"keepward/internal/job"
)

// Manager is the job manager. It implements the handlers of SessionService, PointService and
// RestoreService; the server mounts them and calls the other methods from its own handlers.
type Manager struct {
	deps     Deps
	set      Settings
	log      *slog.Logger
	broker   *broker.Broker
	hub      *hub
	ended    endedSessions
	watched  watchedLists
	browsers *browsers
	chores   *mailbox[func(ctx context.Context)] // what Serve shall run in goroutines of its own
	grown    *mailbox[string]                    // jobs that have points more than before
	line     *line                               // sessions that have mail
	calls    sync.WaitGroup                      // calls to nodes under way
	jobs     *jobTexts                           // what sessions were made of
	changed  chan struct{}                       // one signal: schedules must be read anew
	ready    chan struct{}                       // closed when every session is taken up
	late     chan struct{}                       // one token: who has it may write sessions that are over
	supply   chan struct{}                       // one token: who has it may tell the broker what there is
	offered  map[broker.ID]bool                  // under that token: the computers and repositories that the broker knows
	marks    chan struct{}                       // one token: who has it may mark points or order their purge
	gated    chan struct{}                       // one signal: what the gate wants looked at next may come sooner
	clock    *clockWatch
	chains   *chains
	retries  chan struct{} // one signal: a retry was planned
	// admission is one token: who has it may let in a session whose job cancels duplicates.
	admission chan struct{}
	// One token each: who has it may issue attempts to agents, or make a session of one.
	standing, adopting chan struct{}
	failing            failing // how writes of sessions fail
	movement           *movement

	knob  atomic.Pointer[Knobs]
	tuned atomic.Pointer[Settings] // set, as the knobs have it

	mu       sync.Mutex
	board    *board
	gate     *gate.Gate
	paused   *pause // nil: it is not
	digits   job.SetDigits
	live     map[int64]*session
	byTask   map[string]*session
	open     map[string]openAttempt       // by unsettled attempt
	atNode   map[Node]map[string]struct{} // the same attempts, by node
	inRepo   map[string]*repositoryLive   // by repository
	nodes    map[Node]*nodeState
	issued   map[string]bool                 // attempts that agents may have opened, and of which no session is known
	unissued map[jobAt]*keepwardv1.Condition // why agents do not get jobs that they should manage
}

// nodeState is what is known of a node's presence, and who wants to hear of it.
type nodeState struct {
	online   bool
	boot     string
	sessions map[*session]struct{}
}

// errClosed says that a session ended before it took a letter.
var errClosed = errors.New("the session is over")

// leaseTerm is how long a reservation lives without a heartbeat of its holder.
const leaseTerm = job.DefaultHeartbeat * job.DefaultHeartbeatsLost

// MemoryLimit is where the collector begins to work harder. A hundred thousand sessions that wait have
// 400 MiB, and half as much again while all nodes link up at once; with SQLite's memory, which the
// collector does not know of, the process stays below 1 GiB.
const MemoryLimit = 880 << 20

// New makes a Manager. It does nothing before Serve.
func New(d Deps) *Manager {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Clock == nil {
		d.Clock = readClock
	}
	m := &Manager{
		deps: d, set: d.Settings.withDefaults(), log: d.Log,
		broker:    broker.New(time.Now, leaseTerm),
		hub:       newHub(),
		chores:    newMailbox[func(context.Context)](),
		grown:     newMailbox[string](),
		line:      newLine(),
		jobs:      newJobTexts(),
		changed:   make(chan struct{}, 1),
		ready:     make(chan struct{}),
		late:      make(chan struct{}, 1),
		supply:    make(chan struct{}, 1),
		offered:   map[broker.ID]bool{},
		marks:     make(chan struct{}, 1),
		gated:     make(chan struct{}, 1),
		retries:   make(chan struct{}, 1),
		admission: make(chan struct{}, 1),
		standing:  make(chan struct{}, 1),
		adopting:  make(chan struct{}, 1),
		issued:    map[string]bool{},
		unissued:  map[jobAt]*keepwardv1.Condition{},
		clock:     &clockWatch{read: d.Clock},
		chains:    newChains(),
		board:     newBoard(),
		gate:      gate.New(),
		live:      map[int64]*session{},
		byTask:    map[string]*session{},
		open:      map[string]openAttempt{},
		atNode:    map[Node]map[string]struct{}{},
		inRepo:    map[string]*repositoryLive{},
		nodes:     map[Node]*nodeState{},
	}
	m.browsers = newBrowsers(m)
	m.movement = newMovement(m)
	m.turned(&Knobs{})
	return m
}

// Serve takes up every session that is not over and works until ctx ends. What runs on nodes
// then goes on without the server.
func (m *Manager) Serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if err := m.readKnobs(ctx); err != nil {
		return err
	}
	if err := m.setResources(ctx); err != nil {
		return err
	}
	if err := m.loadRules(ctx); err != nil {
		return err
	}
	if err := m.takeUp(ctx); err != nil {
		return err
	}
	if err := m.loadStanding(ctx); err != nil {
		return err
	}
	g.Go(func() error { return m.runStanding(ctx) })
	g.Go(func() error { return m.runSchedules(ctx) })
	g.Go(func() error { return m.runRetries(ctx) })
	g.Go(func() error { return m.runAging(ctx) })
	g.Go(func() error { return m.browsers.serve(ctx) })
	g.Go(func() error { return m.runBroker(ctx) })
	g.Go(func() error { return m.runGate(ctx) })
	g.Go(func() error { return m.movement.serve(ctx) })
	g.Go(func() error { return m.runLeases(ctx) })
	for range workers {
		g.Go(func() error { return m.work(ctx) })
	}
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				m.chores.close()
				return ctx.Err()
			case <-m.chores.ready:
				for _, chore := range m.chores.take() {
					g.Go(func() error { chore(ctx); return nil })
				}
			}
		}
	})
	close(m.ready)
	err := g.Wait()
	m.closeAll(err)
	return err
}

// takeUp brings every session that is not over back to life.
func (m *Manager) takeUp(ctx context.Context) error {
	rows, err := catalog.Sessions(ctx, m.deps.DB.Read(), catalog.SessionFilter{Active: true})
	if err != nil {
		return err
	}
	from, err := readRecords(ctx, m.deps.DB.Read())
	if err != nil {
		return err
	}
	for i := len(rows) - 1; i >= 0; i-- { // the oldest first: it has the older right
		s, err := m.loadFrom(ctx, rows[i], from)
		if err != nil {
			return err
		}
		rows[i] = catalog.Session{} // there may be many, and their texts are long
		for _, t := range s.tasks {
			if t.adopted() {
				t.holds = true
				m.dispatch(m.broker.Adopt(t.grant()))
			}
		}
		m.register(s)
		s.post("", evWake{})
		s.post("", evEnough{})             // who browsed through the former server has gone with it
		for _, n := range m.onlineFor(s) { // nodes may have been quicker than the catalog
			s.post("", evOnline{n})
		}
		s.post("", evQueueNote{})
	}
	return nil
}

// register makes a session known, before it runs.
func (m *Manager) register(s *session) {
	s.show()
	m.chains.add(s)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live[s.row.ID] = s
	for _, t := range s.tasks {
		if t.row.Status.Final() {
			continue
		}
		m.board.add(t)
		m.gate.Add(s.subject(t))
		m.noteGate(t)
		m.byTask[t.row.ID] = s
		for _, n := range t.nodes() {
			m.node(n).sessions[s] = struct{}{}
		}
		m.track(s, t)
	}
	m.makeRoom(s)
}

// onlineFor lists the nodes of a session that are online.
func (m *Manager) onlineFor(s *session) []Node {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Node
	for _, t := range s.tasks {
		for _, n := range t.nodes() {
			if state := m.nodes[n]; state != nil && state.online && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// nodes are the task's transport and, where it has one, its computer.
func (t *task) nodes() []Node {
	if t.row.Computer == "" {
		return []Node{transportOf(t.transport)}
	}
	return []Node{transportOf(t.transport), agentOf(t.row.Computer)}
}

// node is the state of a node; m.mu must be held.
func (m *Manager) node(n Node) *nodeState {
	if m.nodes[n] == nil {
		m.nodes[n] = &nodeState{sessions: map[*session]struct{}{}}
	}
	return m.nodes[n]
}

// openAttempt is whose an unsettled attempt is.
type openAttempt struct {
	session *session
	task    string
}

// track keeps the register of unsettled attempts; m.mu must be held.
func (m *Manager) track(s *session, t *task) {
	if t.att == nil {
		return
	}
	m.movement.follow(s, t)
	id := t.att.row.ID
	for _, side := range t.att.sides() {
		if !side.takesPart() {
			continue
		}
		if t.att.settled() || t.row.Status.Final() {
			delete(m.atNode[side.node], id)
			delete(m.open, id)
			continue
		}
		if m.atNode[side.node] == nil {
			m.atNode[side.node] = map[string]struct{}{}
		}
		m.atNode[side.node][id] = struct{}{}
		m.open[id] = openAttempt{s, t.row.ID}
	}
}

// noteWritten follows a task whose new state is in the catalog: what it holds up may go on.
func (m *Manager) noteWritten(s *session, t *task) {
	m.mu.Lock()
	m.track(s, t)
	var wake []*session
	if t.makesPoint() && t.att.settled() {
		for _, id := range m.board.sweepsOf(t.row.Repository) {
			if other := m.live[id]; other != nil {
				wake = append(wake, other)
			}
		}
	}
	held := m.board.note(t)
	m.noteGate(t)
	next := m.wakes()
	if t.row.Status.Final() {
		held = m.board.remove(t)
	}
	for _, id := range held {
		if other := m.live[id]; other != nil {
			wake = append(wake, other)
		}
	}
	m.mu.Unlock()
	for _, other := range wake {
		other.post("", evQueueNote{})
	}
	next.post()
}

// forget takes a session out that is over.
func (m *Manager) forget(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live, s.row.ID)
	m.leaveRoom(s)
	for _, t := range s.tasks {
		delete(m.byTask, t.row.ID)
		for _, n := range t.nodes() {
			if state := m.nodes[n]; state != nil {
				delete(state.sessions, s)
			}
		}
	}
}

// openSession is the session of the first of these attempts that is neither settled nor given up;
// 0: there is none.
func (m *Manager) openSession(attempts []string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range attempts {
		if s := m.open[id].session; s != nil {
			return s.row.ID
		}
	}
	return 0
}

func (m *Manager) liveSession(id int64) *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live[id]
}

// dispatch tells the sessions what the broker has decided.
func (m *Manager) dispatch(d broker.Decision) {
	for _, g := range d.Granted {
		if s := m.liveSession(g.Session); s == nil || !s.post(g.Task, evGrantNote{}) {
			m.dispatch(m.broker.Release(g.Task))
		}
	}
	for _, i := range d.Interrupt {
		if s := m.liveSession(i.Session); s != nil {
			s.post(i.Task, evInterrupt{i.ForSession})
		}
	}
	for _, delay := range d.Delayed {
		m.mu.Lock()
		s := m.byTask[delay.Task]
		m.mu.Unlock()
		if s != nil {
			s.post(delay.Task, evDelayed{delay.Reason})
			// A session that browsing has interrupted is only told that there are no resources.
			if c := delay.Reason.Code; (c == job.StreamsShort || c == job.NoResources) && s.row.Type != job.IndexRestore {
				m.browsers.makeRoom(s.row.Repository)
			}
		}
	}
}

// waitReady waits until every session is taken up: before it, no attempt is known.
func (m *Manager) waitReady(ctx context.Context) error {
	select {
	case <-m.ready:
		return nil
	case <-ctx.Done():
		return errs.New(errs.Unavailable, "server.starting", "the server is still starting: %w", ctx.Err())
	}
}
