package node

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/gofrs/flock"

	"keepward/internal/errs"
	"keepward/internal/wire"
)

// Node is one node of a server: its locked data directory and its identity.
type Node struct {
	cfg      Config
	log      *slog.Logger
	lock     *flock.Flock
	reporter *Reporter

	mu       sync.Mutex
	creds    wire.Credentials // replaced when the node joins anew
	identity wire.Identity
	term     uint64
	addr     string // local address of the newest link
	dialled  string // the role that dialled the newest link

	waiting *waiting // for the server to call; nil: it does not
}

// Open locks the data directory, joins the server if that was not done yet, and reads what
// an earlier process left unreported. Close gives the lock back.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.create", "create data directory: %w", err)
	}
	n := &Node{cfg: cfg, log: cfg.Logger, lock: flock.New(filepath.Join(cfg.DataDir, "lock"))}
	held, err := n.lock.TryLock()
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "datadir.lock", "lock data directory %s: %w", cfg.DataDir, err)
	}
	if !held {
		return nil, errs.New(errs.Busy, "datadir.locked", "data directory %s is in use by another process", cfg.DataDir).
			WithHint("stop the other process, or choose another directory with --data-dir")
	}
	if err := n.open(ctx); err != nil {
		n.shut()
		_ = n.lock.Unlock()
		return nil, err
	}
	return n, nil
}

func (n *Node) open(ctx context.Context) error {
	if err := n.listen(); err != nil {
		return err
	}
	if err := n.loadIdentity(ctx); err != nil {
		return err
	}
	if n.identity.Role != n.cfg.Role {
		return errs.New(errs.Invalid, "identity.role", "data directory %s belongs to %s, not to a %s", n.cfg.DataDir, n.identity, n.cfg.Role)
	}
	if n.cfg.Name != "" && n.cfg.Name != n.identity.Name {
		return errs.New(errs.Invalid, "identity.name", "data directory %s belongs to %s, not to %q", n.cfg.DataDir, n.identity, n.cfg.Name).
			WithHint("leave --name out, or use another data directory")
	}
	if err := n.loadTerm(); err != nil {
		return err
	}
	var err error
	n.reporter, err = openReporter(filepath.Join(n.cfg.DataDir, "attempts"), n.log)
	return err
}

// Close unlocks the data directory. Run must have returned.
func (n *Node) Close() error {
	n.shut()
	n.reporter.close()
	return n.lock.Unlock()
}

// Identity is who the node is, from its certificate.
func (n *Node) Identity() wire.Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.identity
}

// Credentials are the node's certificate, key and authority. They change when the node
// joins anew: ask for them when they are needed.
func (n *Node) Credentials() wire.Credentials {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.creds
}

// Reporter keeps and delivers what attempts report.
func (n *Node) Reporter() *Reporter { return n.reporter }

// DataDir is the node's locked directory.
func (n *Node) DataDir() string { return n.cfg.DataDir }

// LocalAddress is the host from which the newest link was dialled: where this host is
// reached from the server's side, unless an address translation is in between. Empty
// before the first link.
func (n *Node) LocalAddress() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addr
}

// Dialled is the role that dialled the newest link: the server's or this node's own; empty
// before the first.
func (n *Node) Dialled() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialled
}

func hostName() string {
	h, err := os.Hostname()
	if err != nil {
		return ""
	}
	return strings.ToLower(h)
}
