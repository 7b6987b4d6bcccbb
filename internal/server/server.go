package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/repo/seal"
)

// Config is what a server is started with.
type Config struct {
	// DataDir holds everything the server remembers.
	DataDir string
	// Listen is host:port of the one port; port 0 takes a free one.
	Listen string
	// MetricsListen is host:port of a second port that serves metrics, health and readiness in plain
	// HTTP and without login; empty: there is none.
	MetricsListen string
	// ScriptDir is the only folder whose files run as scripts on the server; empty: DataDir/scripts.
	ScriptDir string
	Version   string
	// Heartbeat is how often nodes say that they are there; zero: job.DefaultHeartbeat.
	Heartbeat time.Duration
	// NotifyEvery is how often it is looked whether somebody is to be told of something; zero: every 5 s.
	NotifyEvery time.Duration
	// UpdatesEvery is how often it is looked whether agents are to be updated by themselves; zero: every
	// minute.
	UpdatesEvery time.Duration
	Logger       *slog.Logger
	// Out is told the administrator's password, once; nil: standard error.
	Out io.Writer
	// Ready, where it is set, is called once the port is open, with the address that clients
	// on this host dial. DataDir/client.yaml is there by then.
	Ready func(address string)
	// OwnAgent makes the agent by which the server backs itself up; nil: it cannot.
	OwnAgent func(ctx context.Context, cfg OwnAgentConfig) OwnAgent
	// Opener is the command of this very program that opens content of points; nil: the console shows none.
	Opener []string

	// now is the clock by which alarms are raised and messages sent; nil: the host's.
	now func() time.Time
}

// server is one running server.
type server struct {
	cfg     Config
	log     *slog.Logger
	data    *dataDir
	db      *catalog.DB
	nodes   *nodes
	manager jobManager
	started time.Time
	repos   *repositories
	groups  *groupReader
	updates *rollouts
	dialler *dialler
	guard   *guard
	repeats *repeater
	approve *approver
	notes   *notifier
	leaf    time.Time    // when the certificate ends that the server shows
	pages   http.Handler // what a monitoring system asks for

	jobsSeen jobsSeen
}

// Run serves until ctx is done; then it ends every link and call, and returns nil. What runs
// on nodes goes on without it.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Out == nil {
		cfg.Out = os.Stderr
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = job.DefaultHeartbeat
	}
	data, err := openDataDir(ctx, cfg.DataDir, cfg.Version, cfg.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	s := newServer(cfg, data)
	l, err := s.listen()
	if err != nil {
		return err
	}
	if err := data.ensureAdmin(ctx, l.address, cfg.Out); err != nil {
		return errors.Join(err, l.close())
	}
	if err := s.approve.begin(ctx); err != nil {
		return errors.Join(err, l.close())
	}
	return s.serve(ctx, l)
}

func newServer(cfg Config, data *dataDir) *server {
	s := &server{cfg: cfg, log: cfg.Logger, data: data, db: data.db, started: time.Now()}
	s.guard = newGuard(data.db, cfg.Logger, func(ctx context.Context) (time.Duration, error) { return s.manager.ConfirmLogins(ctx) })
	s.repeats = newRepeater(data.db, data.keys.key, cfg.Logger)
	s.approve = newApprover(s)
	s.nodes = newNodes(data.db, cfg.Logger, cfg.Heartbeat)
	s.repos = newRepositories(s)
	scripts := scriptFolder(cmp.Or(cfg.ScriptDir, filepath.Join(cfg.DataDir, "scripts")))
	s.groups = &groupReader{server: s, scripts: scripts, hanging: map[string]bool{}, running: make(chan struct{}, 1)}
	s.dialler = newDialler(s)
	s.updates = newRollouts(s)
	s.notes = newNotifier(s)
	m := manager.New(manager.Deps{
		DB:         data.db,
		Nodes:      s.nodes,
		Standing:   s.nodes,
		Master:     func(r catalog.Repository) (seal.Master, error) { return data.keys.master(r) },
		Term:       data.term.Load,
		Credential: data.keys.credential,
		Owner:      data.owner(),
		User:       userOf,
		Reach:      s.reach,
		Log:        cfg.Logger,

		Settings:  manager.Settings{Heartbeat: cfg.Heartbeat},
		RunScript: scripts.run,
		Groups:    s.groups,
		Updates:   s.updates,
	})
	s.manager, s.nodes.watcher = m, watchers{m, s.repos}
	s.nodes.handler = s.linkHandler()
	return s
}

func (s *server) serve(ctx context.Context, l *listener) error {
	s.leaf = l.creds.Certificate.Leaf.NotAfter
	s.pages = s.monitoring(s.leaf)
	plain, err := s.listenMetrics()
	if err != nil {
		return errors.Join(err, l.close())
	}
	g, ctx := errgroup.WithContext(ctx)
	itself, err := s.newOwn(ctx)
	if err != nil {
		if plain != nil {
			err = errors.Join(err, plain.Close())
		}
		return errors.Join(err, l.close())
	}
	if plain != nil {
		g.Go(func() error { return s.serveMetrics(ctx, plain) })
	}
	if itself != nil {
		g.Go(func() error { return ended(ctx, itself.serve(ctx)) })
	}
	g.Go(func() error { return ended(ctx, s.manager.Serve(ctx)) })
	g.Go(func() error { return ended(ctx, s.repos.serve(ctx)) })
	g.Go(func() error { return ended(ctx, s.updates.serve(ctx)) })
	g.Go(func() error { return ended(ctx, s.notes.serve(ctx)) })
	g.Go(func() error { return ended(ctx, s.guard.audits.serve(ctx)) })
	g.Go(func() error { return ended(ctx, s.repeats.serve(ctx)) })
	s.dialler.creds = l.creds
	g.Go(func() error { return ended(ctx, s.dialler.serve(ctx)) })
	g.Go(func() error { return s.serveHTTP(ctx, l) })
	s.log.Info("server ready", "address", l.address, "version", s.cfg.Version, "term", s.data.term.Load())
	if s.cfg.Ready != nil {
		s.cfg.Ready(l.address)
	}
	return g.Wait()
}

// ended takes the error out of an end that was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// watchers tells several of the nodes that come and go.
type watchers []nodeWatcher

func (w watchers) NodeOnline(n manager.Node) {
	for _, one := range w {
		one.NodeOnline(n)
	}
}

func (w watchers) NodeOffline(n manager.Node) {
	for _, one := range w {
		one.NodeOffline(n)
	}
}
