package sim

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/repo/seal"
	"keepward/internal/retention"
	"keepward/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The nodes and repositories of a site. main and second lie on disks, vault in a library.
const (
	diskHost = "host1"
	tapeHost = "host2"
	mainRepo = "main"
	second   = "second"
	vault    = "vault"
)

var computers = []string{"web1", "web2", "web3"}

// site is a backup site in one process. The test's goroutine alone changes it, but the manager's
// calls read and change nodes, so mu guards what they touch.
type site struct {
	t    *testing.T
	rnd  *rand.Rand
	path string
	db   *catalog.DB
	m    *manager.Manager // nil: the server is down
	stop func()
	net  *network

	stopped chan error
	master  seal.Master
	seq     int

	mu     sync.Mutex
	nodes  map[manager.Node]*node
	tape   *library
	places map[string]manager.Places // by job
	jump   time.Duration             // of the server's clock

	known   map[int64]*known     // every session that was submitted
	used    map[broker.ID]int    // what was held at the last look
	running map[string]int       // sessions at the levels that have a limit, at the last look
	early   map[string]bool      // attempts whose agents ended before they had read all
	timed   bool                 // sessions that took too long were ended
	strays  map[string]time.Time // reservations that nobody stands behind, and when they must be gone
	began   time.Time            // since when jobs start by themselves; zero: none does
	back    time.Time            // when the server was started last after a crash
	ended   time.Time            // until when the calendar counts; zero: it still does
	unquiet bool                 // an agent may start anew when it has installed an update
	history []string
	count   counts
}

// known is what the site knows of a session that it submitted.
type known struct {
	typ     job.Type
	job     string
	over    bool
	spoiled bool   // it was killed, or made to fail for good
	after   string // the job whose older sessions it waits for; empty: none
	itself  bool   // nobody asked for it: a schedule, or a retry
}

// counts is what happened in a run.
type counts struct {
	sessions, steps, crashes, lost, interruptions, kills, partial int
	chained, retries, strays, installs                            int
}

func (c *counts) add(o counts) {
	c.sessions += o.sessions
	c.steps += o.steps
	c.crashes += o.crashes
	c.lost += o.lost
	c.interruptions += o.interruptions
	c.kills += o.kills
	c.partial += o.partial
	c.chained += o.chained
	c.retries += o.retries
	c.strays += o.strays
	c.installs += o.installs
}

// emptyCatalog is a catalog with its schema: to make it anew for every seed takes longer than the
// seed.
var emptyCatalog = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "keepward-sim")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "catalog.db")
	db, err := catalog.Open(context.Background(), path)
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// scratch is a directory for a catalog: in memory where there is such a one, for the disk's sync
// is not what is tried here.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "keepward-sim")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// inSite runs fn in a bubble, in a site whose nodes are all connected.
func inSite(t *testing.T, seed uint64, fn func(s *site)) {
	t.Helper()
	content, err := emptyCatalog()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(scratch(t), "catalog.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := &site{
			t: t, rnd: rand.New(rand.NewPCG(seed, 0)), path: path, master: seal.Master{Secret: seal.NewSecret()},
			nodes: map[manager.Node]*node{}, places: map[string]manager.Places{}, known: map[int64]*known{},
			used: map[broker.ID]int{}, running: map[string]int{}, early: map[string]bool{},
			strays: map[string]time.Time{},
		}
		s.net, s.tape = newNetwork(s), newLibrary()
		for _, host := range []string{diskHost, tapeHost} {
			s.addNode(manager.Node{Role: wire.RoleTransport, Name: host})
		}
		for _, c := range computers {
			s.addNode(agentNode(c))
		}
		s.open()
		s.configure()
		s.start()
		s.connectAll()
		defer s.end()
		fn(s)
	})
}

func agentNode(name string) manager.Node { return manager.Node{Role: wire.RoleAgent, Name: name} }

func (s *site) addNode(n manager.Node) {
	s.nodes[n] = &node{Node: n, work: map[string]*work{}, spool: map[string]*ending{}, names: map[string]string{}, tasks: map[string]string{}, partial: map[string]bool{}, admin: map[int64]bool{}}
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.fail("%v", err)
	}
}

// fail ends the run with what led to it.
func (s *site) fail(format string, args ...any) {
	s.t.Helper()
	for _, line := range s.history {
		s.t.Log(line)
	}
	for _, id := range s.activeIDs() {
		s.t.Logf("session %d (%s):\n%s", id, s.known[id].typ, s.log(id))
	}
	s.t.Fatalf(format, args...)
}

func (s *site) note(format string, args ...any) {
	s.history = append(s.history, time.Now().UTC().Format("02 15:04:05 ")+fmt.Sprintf(format, args...))
}

func (s *site) open() {
	s.t.Helper()
	db, err := catalog.Open(context.Background(), s.path)
	s.must(err)
	s.db = db
}

func (s *site) configure() {
	s.t.Helper()
	ctx, now := context.Background(), time.Now()
	s.must(s.db.Write(ctx, func(tx *sql.Tx) error {
		all := []error{catalog.JoinTransport(ctx, tx, diskHost, now), catalog.JoinTransport(ctx, tx, tapeHost, now)}
		for _, c := range computers {
			all = append(all, catalog.JoinComputer(ctx, tx, c, now))
		}
		for i, r := range []struct {
			name, host       string
			streams, writers int32
		}{{mainRepo, diskHost, 2, 2}, {second, tapeHost, 2, 1}, {vault, tapeHost, 4, 4}} {
			all = append(all, catalog.AddRepository(ctx, tx, catalog.Repository{
				Name: r.name, ID: [16]byte{byte(i + 1)}, Transport: r.host, Path: "/srv/" + r.name, Streams: r.streams, Writers: r.writers,
				Master: []byte("m"), Recovery: []byte("r"), Created: now,
				Upkeep: catalog.Upkeep{Recompress: job.RecompressNever, Maintenance: config.MaintenanceNever},
			}))
		}
		return errors.Join(all...)
	}))
}

// start starts a server on the catalog; no node is connected yet.
func (s *site) start() {
	ctx, cancel := context.WithCancel(context.Background())
	m := manager.New(manager.Deps{
		DB: s.db, Nodes: s, Term: func() uint64 { return 1 },
		Master: func(catalog.Repository) (seal.Master, error) { return s.master, nil },
		User:   func(context.Context) string { return "ann" },
		Clock:  s.clock, Places: s.placesOf, Resources: s.resources, Groups: noGroups{}, Updates: updates{s},
	})
	s.m, s.stop, s.stopped = m, cancel, make(chan error, 1)
	go func() { s.stopped <- m.Serve(ctx) }() // kill waits for it
	synctest.Wait()
}

// noGroups is a site whose groups have no lists.
type noGroups struct{}

func (noGroups) Reread(context.Context, []string) {}

func (noGroups) Rescan(ctx context.Context, _ []string, line func(level, code, text string)) error {
	line("info", "group.read", "there is nothing to read")
	return ctx.Err()
}

// kill ends the server in the middle of what it does. What it wrote is there.
func (s *site) kill() {
	s.t.Helper()
	s.stop()
	if err := <-s.stopped; !errors.Is(err, context.Canceled) {
		s.fail("Serve ended with %v", err)
	}
	s.must(s.db.Close())
	s.m = nil
	s.net.forget()
	for _, n := range s.nodes {
		n.online = false
	}
}

func (s *site) end() {
	if s.m != nil {
		s.kill()
	}
}

// crash starts another server on the same catalog.
func (s *site) crash() {
	s.t.Helper()
	s.crashFor(0)
}

// crashFor does so when some time has gone by.
func (s *site) crashFor(d time.Duration) {
	s.t.Helper()
	s.count.crashes++
	s.kill()
	time.Sleep(d)
	clear(s.running)
	clear(s.strays) // reservations live in the server's memory
	for _, k := range s.known {
		k.spoiled = k.spoiled || k.typ == job.IndexRestore // who asked has lost the server
	}
	s.open()
	s.start()
	s.back = time.Now()
}

func (s *site) clock() retention.Reading {
	s.mu.Lock()
	defer s.mu.Unlock()
	return retention.Reading{Wall: time.Now().Round(0).Add(s.jump), Up: time.Duration(time.Now().UnixNano()), Boot: "host"}
}

func (s *site) placesOf(name string, t catalog.Task) (manager.Places, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.places[name]
	p.Computer = t.Computer
	return p, ok
}

func (s *site) resources() []broker.Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tape.resources()
}

// changed tells the manager that something of the library is otherwise.
func (s *site) changed() {
	s.m.ConfigChanged()
	synctest.Wait()
}

// Agent and Transport are the manager's way to the nodes.
func (s *site) Agent(name string) (keepwardv1connect.AgentServiceClient, bool) {
	n, online := s.reach(agentNode(name))
	return &agentClient{s: s, n: n}, online
}

func (s *site) Transport(name string) (keepwardv1connect.TransportServiceClient, bool) {
	n, online := s.reach(manager.Node{Role: wire.RoleTransport, Name: name})
	return &transportClient{s: s, n: n}, online
}

func (s *site) reach(n manager.Node) (*node, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.nodes[n]
	return found, found != nil && found.online
}

// sorted lists the nodes in an order that the seed does not change.
func (s *site) sorted() []*node {
	var list []*node
	for _, n := range s.nodes {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b *node) int { return cmpNodes(a.Node, b.Node) })
	return list
}
