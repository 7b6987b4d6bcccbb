package manager

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/job"
	"keepward/internal/repo/seal"
)

// bigSite is a manager on a real catalog with many computers, whose nodes take every order at once
// and end an attempt when they are told to. It lives in real time: its speed is what is measured.
type bigSite struct {
	tb     testing.TB
	path   string
	db     *catalog.DB
	m      *Manager
	stop   context.CancelFunc
	ended  chan error
	master seal.Master

	computers, repositories, streams int

	mu      sync.Mutex
	more    sync.Cond // running has grown, or nothing is left
	movers  map[string]bigMover
	running []bigAttempt
	left    int             // sessions that are to end yet
	started chan bigAttempt // has room for all that run at once
}

// bigMover is the mover of an attempt.
type bigMover struct {
	transport string
	began     time.Time // when the transport was told to start it
}

type bigAttempt struct {
	bigMover
	id, agent string
	told      time.Time // when the agent was told to start
}

const (
	bigTransports = 5
	bigJobs       = 20
)

func newBigSite(tb testing.TB, computers, repositories, streams int) *bigSite {
	tb.Helper()
	s := &bigSite{
		tb: tb, path: filepath.Join(tb.TempDir(), "catalog.db"), master: seal.Master{Secret: seal.NewSecret()},
		computers: computers, repositories: repositories, streams: streams, started: make(chan bigAttempt, 2*repositories*streams),
		movers: map[string]bigMover{},
	}
	s.more.L = &s.mu
	if err := os.WriteFile(s.path, emptyCatalog(), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.start()
	s.must(s.db.Write(tb.Context(), s.configure))
	s.m.ConfigChanged()
	s.connect()
	return s
}

func (s *bigSite) must(err error) {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
}

func computerName(i int) string   { return fmt.Sprintf("c%05d", i) }
func repositoryName(i int) string { return fmt.Sprintf("r%02d", i) }
func transportName(i int) string  { return fmt.Sprintf("t%d", i) }

func (s *bigSite) configure(tx *sql.Tx) error {
	ctx, now := s.tb.Context(), time.Now()
	for i := range bigTransports {
		if err := catalog.JoinTransport(ctx, tx, transportName(i), now); err != nil {
			return err
		}
	}
	for i := range s.repositories {
		name := repositoryName(i)
		if err := catalog.AddRepository(ctx, tx, catalog.Repository{
			Name: name, ID: [16]byte{1, byte(i)}, Transport: transportName(i % bigTransports), Path: "/srv/" + name,
			Streams: int32(s.streams), Writers: int32(s.streams), Master: []byte("m"), Recovery: []byte("r"), Created: now,
			Upkeep: catalog.Upkeep{Recompress: job.RecompressNever, Maintenance: config.MaintenanceNever},
		}); err != nil {
			return err
		}
	}
	for i := range bigJobs {
		if err := catalog.PutJob(ctx, tx, s.job(i), now); err != nil {
			return err
		}
	}
	for i := range s.computers {
		if err := catalog.JoinComputer(ctx, tx, computerName(i), now); err != nil {
			return err
		}
	}
	return nil
}

// start starts a server on the catalog.
func (s *bigSite) start() {
	s.tb.Helper()
	db, err := catalog.Open(context.Background(), s.path)
	s.must(err)
	s.db = db
	ctx, cancel := context.WithCancel(context.Background())
	s.m = New(Deps{
		DB: db, Nodes: s, Term: func() uint64 { return 1 },
		Master: func(catalog.Repository) (seal.Master, error) { return s.master, nil },
	})
	m, ended := s.m, make(chan error, 1)
	go func() { ended <- m.Serve(ctx) }()
	s.stop, s.ended = cancel, ended
	select {
	case <-m.ready:
	case err := <-ended:
		s.tb.Fatal(err)
	}
}

// kill ends the server.
func (s *bigSite) kill() {
	s.tb.Helper()
	s.stop()
	if err := <-s.ended; !errors.Is(err, context.Canceled) {
		s.tb.Errorf("Serve ended with %v", err)
	}
	s.must(s.db.Close())
}

// idle waits until no session has had mail for a while: good enough to measure.
func (s *bigSite) idle() {
	for quiet := 0; quiet < 20; {
		s.m.line.mu.Lock()
		left := len(s.m.line.urgent) + len(s.m.line.others)
		s.m.line.mu.Unlock()
		if quiet++; left > 0 {
			quiet = 0
		}
		time.Sleep(time.Millisecond)
	}
}

// connect brings all nodes online.
func (s *bigSite) connect() {
	s.mu.Lock()
	running := map[string][]*keepwardv1.AttemptState{}
	var all []*keepwardv1.AttemptState
	for _, a := range s.running {
		running[a.agent] = append(running[a.agent], &keepwardv1.AttemptState{Attempt: a.id})
		all = append(all, &keepwardv1.AttemptState{Attempt: a.id})
	}
	s.mu.Unlock()
	online := func(n Node, attempts []*keepwardv1.AttemptState) {
		_, err := s.m.Heartbeat(s.tb.Context(), n, "boot", attempts)
		s.must(err)
		s.m.NodeOnline(n)
	}
	for i := range s.computers {
		online(agentOf(computerName(i)), running[computerName(i)])
	}
	for i := range bigTransports {
		online(transportOf(transportName(i)), all)
	}
}

// submit starts n sessions of one computer each, from 16 sides at once. before are there already.
func (s *bigSite) submit(before, n int) {
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			_, err := s.m.submit(s.tb.Context(), s.request(before+i))
			return err
		})
	}
	s.must(g.Wait())
}

func (s *bigSite) request(i int) request {
	j := s.job(i / s.computers) // a computer's second session of a job would be Queued
	j.Repository = repositoryName(i % s.repositories)
	return request{typ: job.Backup, job: j.Name, repository: j.Repository, computers: []string{computerName(i % s.computers)}, definition: j}
}

func (s *bigSite) job(i int) *keepwardv1.Job {
	return &keepwardv1.Job{
		Name: fmt.Sprintf("job%d", i), Type: "backup", Repository: repositoryName(0), Duplicates: job.DuplicatesAllow,
		Files: &keepwardv1.FileSelection{Include: []string{"/srv", "/home"}, Exclude: []string{"*.tmp"}},
	}
}

// fill puts n sessions into the catalog while no server runs.
func (s *bigSite) fill(n int) {
	db, err := catalog.Open(s.tb.Context(), s.path)
	s.must(err)
	s.must(db.Write(s.tb.Context(), func(tx *sql.Tx) error {
		for i := range n {
			r := s.request(i)
			text, err := r.text()
			if err != nil {
				return err
			}
			row := catalog.Session{
				Job: r.job, Type: r.typ, Status: job.Queued, Priority: 166, Repository: r.repository, Definition: text, Created: time.Now(),
			}
			if _, err := addSession(s.tb.Context(), tx, &row, r, []int{166}); err != nil {
				return err
			}
		}
		return nil
	}))
	s.must(db.Close())
}

// toEnd sets how many are to end.
func (s *bigSite) toEnd(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

// next takes one of the attempts that run, as soon as one does; false: enough have ended.
func (s *bigSite) next() (bigAttempt, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.running) == 0 && s.left > 0 {
		s.more.Wait()
	}
	if s.left == 0 {
		return bigAttempt{}, false
	}
	a := s.running[0]
	s.running = s.running[1:]
	if s.left--; s.left == 0 {
		s.more.Broadcast()
	}
	return a, true
}

// untilRunning waits until so many run.
func (s *bigSite) untilRunning(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.running) < n {
		s.more.Wait()
	}
}

// end lets an attempt end well.
func (s *bigSite) end(a bigAttempt) error {
	return errors.Join(s.endMover(a), s.endAgent(a))
}

func (s *bigSite) endMover(a bigAttempt) error {
	return s.m.End(s.tb.Context(), transportOf(a.transport), a.id, &keepwardv1.AttemptEnd{Outcome: outcomeDone, Committed: true})
}

// endAgent ends a session, and frees its stream.
func (s *bigSite) endAgent(a bigAttempt) error {
	return s.m.End(s.tb.Context(), agentOf(a.agent), a.id, done(&keepwardv1.Counters{DoneFiles: 1}))
}

// latencies are how long it takes while everything else waits, sorted: granted from the report that
// frees a stream until the transport is told to start the mover of who has got it, started from the
// first report of an end until the next agent is told to start.
func (s *bigSite) latencies(samples int) (granted, started []time.Duration) {
	s.toEnd(samples)
	s.forgetStarts()
	for range samples {
		a, ok := s.next()
		if !ok {
			break
		}
		began := time.Now()
		s.must(s.endMover(a))
		freed := time.Now()
		s.must(s.endAgent(a))
		b := <-s.started
		granted, started = append(granted, b.began.Sub(freed)), append(started, b.told.Sub(began))
	}
	slices.Sort(granted)
	slices.Sort(started)
	return granted, started
}

func (s *bigSite) forgetStarts() {
	for len(s.started) > 0 {
		<-s.started
	}
}

// endAll lets as many end as are to, of those that run and come to run, from 64 sides at once.
func (s *bigSite) endAll() {
	var g errgroup.Group
	for range 64 {
		g.Go(func() error {
			for a, ok := s.next(); ok; a, ok = s.next() {
				s.forgetStarts()
				if err := s.end(a); err != nil {
					return err
				}
			}
			return nil
		})
	}
	s.must(g.Wait())
}

// unfinished are how many sessions are not over.
func (s *bigSite) unfinished() (n int) {
	s.must(s.db.Read().QueryRowContext(s.tb.Context(), `SELECT count(*) FROM sessions WHERE status <> ?`, job.Completed).Scan(&n))
	return n
}

func (s *bigSite) Agent(name string) (agentClient, bool) { return bigAgent{s: s, name: name}, true }

func (s *bigSite) Transport(name string) (transportClient, bool) {
	return bigTransport{s: s, name: name}, true
}

type bigAgent struct {
	agentClient
	s    *bigSite
	name string
}

func (a bigAgent) StartBackup(_ context.Context, req *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	id := req.Msg.GetOrder().GetAttempt()
	a.s.mu.Lock()
	attempt := bigAttempt{a.s.movers[id], id, a.name, time.Now()}
	delete(a.s.movers, id)
	a.s.running = append(a.s.running, attempt)
	a.s.more.Broadcast()
	a.s.mu.Unlock()
	select {
	case a.s.started <- attempt:
	default: // nobody measures now
	}
	return connect.NewResponse(&keepwardv1.StartBackupResponse{}), nil
}

type bigTransport struct {
	transportClient
	s    *bigSite
	name string
}

func (t bigTransport) StartMover(_ context.Context, req *connect.Request[keepwardv1.StartMoverRequest]) (*connect.Response[keepwardv1.StartMoverResponse], error) {
	t.s.mu.Lock()
	t.s.movers[req.Msg.GetOrder().GetAttempt()] = bigMover{t.name, time.Now()}
	t.s.mu.Unlock()
	return connect.NewResponse(&keepwardv1.StartMoverResponse{Mover: &keepwardv1.MoverEndpoint{Address: "host1:7481", TaskKey: []byte("k")}}), nil
}

func (bigTransport) ListMarkers(context.Context, *connect.Request[keepwardv1.ListMarkersRequest]) (*connect.Response[keepwardv1.ListMarkersResponse], error) {
	return connect.NewResponse(&keepwardv1.ListMarkersResponse{}), nil
}

func TestManySessionsOutliveTheServerAndEnd(t *testing.T) {
	s := newBigSite(t, 100, 4, 5)
	const sessions = 600
	s.submit(0, sessions)
	if n := s.unfinished(); n != sessions {
		t.Fatalf("%d sessions are there", n)
	}
	s.untilRunning(20)
	s.kill()
	s.start()
	s.connect()
	s.toEnd(sessions)
	s.endAll()
	if n := s.unfinished(); n != 0 {
		t.Errorf("%d sessions are not completed", n)
	}
	if left := s.m.broker.Snapshot(); len(left.Grants)+len(left.Waiting) > 0 {
		t.Errorf("%d tasks hold resources, %d wait", len(left.Grants), len(left.Waiting))
	}
	s.kill()
}
