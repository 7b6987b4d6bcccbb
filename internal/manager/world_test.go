package manager

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/repo/seal"
	"keepward/internal/retention"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a site in one process: a manager on a real catalog, and fake nodes. It lives in a
// synctest bubble, so time passes only when everybody waits.
type world struct {
	groups  Groups        // nil: as the catalog has them
	byAgent StandingNodes // nil: no job is managed by an agent
	t       *testing.T
	path    string
	db      *catalog.DB
	m       *Manager
	stop    context.CancelFunc
	stopped chan error
	master  seal.Master

	mu         sync.Mutex
	jump       time.Duration // of the server's clock
	agents     map[string]*fakeAgent
	transports map[string]*fakeTransport
	scripts    fakeScripts
	paced      map[toldRates]int64             // network rates that nodes were told
	numbered   map[toldRates]*keepwardv1.Rates // the same, as they were said last
	unpaced    error                           // why they cannot be told
	term       uint64                          // of the server that was started last
}

const (
	theJob  = "docs"
	theRepo = "main"
	theNode = "host1" // the transport
)

// emptyCatalog is a catalog with its schema: to make it anew for every test takes longer than
// most tests.
var emptyCatalog = sync.OnceValue(func() []byte {
	dir, err := os.MkdirTemp("", "keepward-manager")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "catalog.db")
	db, err := catalog.Open(context.Background(), path)
	if err != nil {
		panic(err)
	}
	if err := db.Close(); err != nil {
		panic(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return content
})

// site runs fn in a bubble, in a world with a repository, two computers and a job of web1.
func site(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, emptyCatalog(), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, path: path, agents: map[string]*fakeAgent{}, transports: map[string]*fakeTransport{}}
		w.master = seal.Master{Secret: seal.NewSecret()}
		w.openDB()
		w.configure()
		w.transports[theNode] = &fakeTransport{w: w, movers: map[string]*keepwardv1.StartMoverRequest{}, names: map[string]string{}}
		for _, name := range []string{"web1", "web2"} {
			w.agents[name] = &fakeAgent{w: w, name: name, backups: map[string]*keepwardv1.StartBackupRequest{}, restores: map[string]*keepwardv1.StartRestoreRequest{}}
		}
		w.start()
		fn(t, w)
		w.kill()
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) openDB() {
	w.t.Helper()
	db, err := catalog.Open(w.t.Context(), w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.db = db
}

func (w *world) configure() {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now()
		return errors.Join(
			catalog.JoinTransport(ctx, tx, theNode, now),
			catalog.JoinComputer(ctx, tx, "web1", now),
			catalog.JoinComputer(ctx, tx, "web2", now),
			catalog.AddRepository(ctx, tx, catalog.Repository{
				Name: theRepo, ID: [16]byte{1}, Transport: theNode, Path: "/srv/main", Streams: 4, Writers: 4,
				Master: []byte("m"), Recovery: []byte("r"), Created: now,
				Upkeep: catalog.Upkeep{Recompress: job.RecompressNever}, // a test of idle time wants it
			}),
			catalog.PutJob(ctx, tx, theJobOf("web1"), now),
		)
	})
}

func theJobOf(computers ...string) *keepwardv1.Job {
	return &keepwardv1.Job{
		Name: theJob, Type: "backup", Computers: computers, Repository: theRepo, Attempts: 3,
		Files: &keepwardv1.FileSelection{Include: []string{"/srv"}}, RestartInterval: durationpb.New(10 * time.Minute),
	}
}

func (w *world) write(fn func(ctx context.Context, tx *sql.Tx) error) {
	w.t.Helper()
	ctx := w.t.Context()
	if err := w.db.Write(ctx, func(tx *sql.Tx) error { return fn(ctx, tx) }); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) setJob(j *keepwardv1.Job) {
	w.t.Helper()
	w.write(func(ctx context.Context, tx *sql.Tx) error { return catalog.PutJob(ctx, tx, j, time.Now()) })
	w.m.ConfigChanged()
	synctest.Wait()
}

// clock is that of the server's host, which never goes down.
func (w *world) clock() retention.Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	return retention.Reading{Wall: time.Now().Round(0).Add(w.jump), Up: time.Duration(time.Now().UnixNano()), Boot: "host"}
}

// start starts a server on the catalog; no node is connected yet.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.term++
	term := w.term
	w.m = New(Deps{
		DB: w.db, Nodes: w, Term: func() uint64 { return term },
		Master: func(catalog.Repository) (seal.Master, error) { return w.master, nil },
		User:   func(context.Context) string { return "ann" },
		Clock:  w.clock,

		Standing:  w.byAgent,
		RunScript: w.runScript,
		Groups:    w.groups,
	})
	w.stop, w.stopped = cancel, make(chan error, 1)
	m := w.m
	go func() { w.stopped <- m.Serve(ctx) }()
	synctest.Wait()
}

// kill ends the server. What it wrote is there; what it was about to do is lost.
func (w *world) kill() {
	w.t.Helper()
	w.stop()
	if err := <-w.stopped; !errors.Is(err, context.Canceled) {
		w.t.Errorf("Serve ended with %v", err)
	}
	for _, a := range w.agents {
		a.online = false
	}
	for _, t := range w.transports {
		t.online = false
	}
}

// reopen starts another server on the same catalog, as after a crash.
func (w *world) reopen() {
	w.t.Helper()
	w.kill()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.openDB()
	w.start()
}

// Agent and Transport are the manager's way to the nodes.
func (w *world) Agent(name string) (agentClient, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.agents[name]
	return a, a != nil && a.online
}

func (w *world) Transport(name string) (transportClient, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.transports[name]
	return t, t != nil && t.online
}

// connect brings all nodes online, each with its first heartbeat.
func (w *world) connect() {
	w.agentUp("web1")
	w.agentUp("web2")
	w.transportUp()
}

func (w *world) agentUp(name string) {
	a := w.agents[name]
	w.beat(agentOf(name), a.boot(), a.running())
	w.set(&a.online, true)
	w.m.NodeOnline(agentOf(name))
	synctest.Wait()
}

func (w *world) transportUp() {
	t := w.transports[theNode]
	w.beat(transportOf(theNode), "boot-t", t.running())
	w.set(&t.online, true)
	w.m.NodeOnline(transportOf(theNode))
	synctest.Wait()
}

func (w *world) agentDown(name string) {
	w.set(&w.agents[name].online, false)
	w.m.NodeOffline(agentOf(name))
	synctest.Wait()
}

func (w *world) transportDown() {
	w.set(&w.transports[theNode].online, false)
	w.m.NodeOffline(transportOf(theNode))
	synctest.Wait()
}

func (w *world) set(b *bool, v bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*b = v
}

// beat sends a heartbeat and lets the node drop what the server does not want.
func (w *world) beat(n Node, boot string, attempts []string) {
	w.t.Helper()
	var states []*keepwardv1.AttemptState
	for _, a := range attempts {
		states = append(states, &keepwardv1.AttemptState{Attempt: a})
	}
	drop, err := w.m.Heartbeat(w.t.Context(), n, boot, states)
	if err != nil {
		w.t.Errorf("heartbeat of %s: %v", n, err)
	}
	for _, a := range drop {
		w.mu.Lock()
		for _, f := range w.agents {
			if n == agentOf(f.name) {
				f.forget(a)
			}
		}
		if n == transportOf(theNode) {
			delete(w.transports[theNode].movers, a)
		}
		w.mu.Unlock()
	}
	synctest.Wait()
}

// run starts a session of the job and lets it come as far as it can.
func (w *world) run() int64 {
	w.t.Helper()
	id, err := w.m.RunJob(w.t.Context(), theJob, false)
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return id
}

func (w *world) session(id int64) *keepwardv1.Session {
	w.t.Helper()
	s, err := w.m.currentSession(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// expect checks the status of a session, and the code of its reason.
func (w *world) expect(id int64, status job.Status, reason job.Code) {
	w.t.Helper()
	synctest.Wait()
	s := w.session(id)
	code := job.Code(s.GetReason().GetCode())
	if job.Status(s.GetStatus()) != status || code != reason {
		w.t.Fatalf("session %d is %q because of %q (%s), want %q because of %q\n%s", id, s.GetStatus(), code, s.GetReason().GetText(), status, reason, w.log(id))
	}
	w.holdsOnlyWhatItMay()
}

// holdsOnlyWhatItMay checks that no parked or final task has a reservation.
func (w *world) holdsOnlyWhatItMay() {
	w.t.Helper()
	held := map[string]bool{}
	for _, g := range w.m.broker.Snapshot().Grants {
		held[g.Task] = true
	}
	rows, err := catalog.Sessions(w.t.Context(), w.db.Read(), catalog.SessionFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, row := range rows {
		tasks, err := catalog.Tasks(w.t.Context(), w.db.Read(), row.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, task := range tasks {
			class := task.Status.Class()
			if wants := class == job.Active && !w.bare(task.ID); held[task.ID] != wants && (class != job.Leaving) {
				w.t.Errorf("task of %s is %s, and holds resources: %v", task.Computer, task.Status, held[task.ID])
			}
			delete(held, task.ID)
		}
	}
	if len(held) > 0 {
		w.t.Errorf("tasks that do not exist hold resources: %v", held)
	}
}

// bare tells whether only scripts of a task run. Everybody waits, so its session's goroutine does.
func (w *world) bare(id string) bool {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	s := w.m.byTask[id]
	return s != nil && slices.ContainsFunc(s.tasks, func(t *task) bool { return t.row.ID == id && t.bare() })
}

func (w *world) log(id int64) string {
	events, err := catalog.Events(w.t.Context(), w.db.Read(), id, 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	out := ""
	for _, e := range events {
		out += e.GetTime().AsTime().Format("15:04:05 ") + e.GetLevel() + " " + e.GetCode() + " " + e.GetFrom() + " > " + e.GetTo() + ": " + e.GetText() + "\n"
	}
	return out
}

func (w *world) points() []*keepwardv1.Point {
	w.t.Helper()
	points, err := catalog.Points(w.t.Context(), w.db.Read(), catalog.PointFilter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return points
}
