// Package transport is the service on a repository host: it creates repositories, starts a
// mover process for every attempt, watches it, relays what it reports, and ends what
// outlives its task.
//
// It reads no backup content, decides nothing, and holds no key longer than it takes to hand
// it to a mover. Movers outlive it: a transport that was restarted finds them by their
// directories and goes on. A Service may be used by any number of goroutines.
package transport

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/node"
	"keepward/internal/wire"
)

// Config is what a transport service is started with.
type Config struct {
	DataDir   string
	Server    string // host:port; empty: the one joined
	JoinToken string
	Name      string
	// Listen is where movers listen: HOST:PORT or HOST:FIRST-LAST; empty: any free port.
	Listen string
	// Advertise are the hosts under which agents reach the movers, separated by commas, those to
	// try first first; empty: the address from which the
	// server is dialled.
	Advertise string
	// Agents is where agents open attempts that were issued beforehand, HOST:PORT; empty: nowhere.
	Agents  string
	Version string
	Logger  *slog.Logger

	// Ready, where it is set, is called once the service has joined and begins to keep its link up.
	Ready func()
	// Linked, where it is set, is called each time the server has answered over a new link.
	Linked func()

	// MoverCommand starts a mover; empty: this program with the argument "mover".
	MoverCommand []string
}

// Run joins if needed and serves until ctx is done. Movers that run then go on.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if _, _, _, err := mover.ParseListen(cfg.Listen); err != nil {
		return err
	}
	if err := moverCommand(&cfg); err != nil {
		return err
	}
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return errs.New(errs.Invalid, "datadir.path", "find data directory %q: %w", cfg.DataDir, err)
	}
	cfg.DataDir = dir
	n, err := node.Open(ctx, node.Config{
		Role: wire.RoleTransport, Name: cfg.Name, DataDir: cfg.DataDir,
		Server: cfg.Server, JoinToken: cfg.JoinToken, Version: cfg.Version, Logger: cfg.Logger,
	})
	if err != nil {
		return err
	}
	defer func() { _ = n.Close() }()
	s := newService(cfg, n)
	if s.standing, err = openStandings(filepath.Join(cfg.DataDir, "standing")); err != nil {
		return err
	}
	if s.agents, err = openDoor(cfg.Agents); err != nil {
		return err
	}
	if err := s.adopt(); err != nil {
		return err
	}
	defer s.wait()
	s.own.Go(func() { s.tendStandings(s.ctx) })
	if s.agents != nil {
		s.own.Go(func() { s.serveDoor(s.ctx) })
	}
	if cfg.Ready != nil {
		cfg.Ready()
	}
	return n.Run(ctx, node.Service{Handler: s.handler(), Info: s.info, Attempts: s.attempts, Drop: s.drop, Rates: s.takeRates, Linked: s.linked})
}

// linked is told that the server has answered over a link. The service never calls it there.
func (s *Service) linked(*http.Client) {
	if s.cfg.Linked != nil {
		s.cfg.Linked()
	}
}

func moverCommand(cfg *Config) error {
	if len(cfg.MoverCommand) > 0 {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return errs.New(errs.Internal, "transport.executable", "find this program: %w", err)
	}
	cfg.MoverCommand = []string{self, "mover"}
	return nil
}

func (s *Service) handler() http.Handler {
	mux := http.NewServeMux()
	opts := connect.WithInterceptors(wire.Errors(), wire.Only(wire.RoleServer))
	mux.Handle(keepwardv1connect.NewTransportServiceHandler(s, opts))
	mux.Handle(keepwardv1connect.NewProbeServiceHandler(node.Prober{Node: s.node, Listen: s.probe}, opts))
	mux.Handle(keepwardv1connect.NewNodeTrafficServiceHandler(s, opts))
	mux.Handle(keepwardv1connect.NewStandingTransportServiceHandler(s, opts))
	return mux
}

func (s *Service) info() *keepwardv1.NodeInfo {
	host, err := os.Hostname()
	if err != nil {
		s.log.Warn("this host's name is not known", "error", err)
	}
	return &keepwardv1.NodeInfo{
		Version: s.cfg.Version, Os: runtime.GOOS, Arch: runtime.GOARCH, Hostname: host,
		DataAddress: s.dataHosts()[0], DataAddresses: s.dataHosts(), AgentDoors: s.doors(),
	}
}
