package update

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"keepward/internal/errs"
)

// Config is what an agent that can update itself is started with.
type Config struct {
	// Dir holds what comes and how it stands.
	Dir string
	// Version is that of this program.
	Version string
	// Arguments are those that a new version is started with.
	Arguments []string
	// SelfCheck are the arguments with which a program prints what SelfCheck answers.
	SelfCheck []string
	// Off is why the program is not to be updated by itself; empty: it may be.
	Off string
	// Ready, where it is set, is called when a trial begins: who starts the agent need not wait for
	// its end.
	Ready  func()
	Logger *slog.Logger
	// ErrOut gets what a version says that is on trial; nil: nobody does.
	ErrOut io.Writer
}

const (
	// lastingMost is how long the server may not be reached during a download before it is given up.
	lastingMost = 10 * time.Minute
	againAfter  = 2 * time.Second
)

// The words for how far an order has come before the new version runs.
const (
	Downloading = "downloading"
	Checking    = "checking"
	Waiting     = "waiting"
	OnItsWay    = "trying"
)

// Hooks are what an updater needs of the agent that runs.
type Hooks struct {
	// Authority is whom the agent was bound to when it joined.
	Authority func() *x509.Certificate
	// Source asks the server for a package.
	Source Source
	// Drain returns when nothing runs on this computer and nothing begins any more; told is
	// called with what it waits for.
	Drain func(ctx context.Context, told func(waits string)) error
	// Resume has things begin again after a Drain that came to nothing.
	Resume func()
}

// Status is how an order stands.
type Status struct {
	// Managed is why there are no updates here; empty: there are.
	Managed string
	// ID of the order that is under way; empty: none is.
	ID, Phase, Waits string
	Have, Size       int64
	Last             *Result
}

// Updater carries out orders while the agent runs.
type Updater struct {
	cfg   Config
	home  home
	off   string
	trial trial
	free  func(dir string) (int64, error)
	run   func(ctx context.Context, u *Updater) error
	sum   func() (string, error) // the digest of this program
	// unlock lets go of the directory.
	unlock func() error

	work sync.WaitGroup // the one order

	mu     sync.Mutex
	hooks  Hooks
	ctx    context.Context // of the agent that runs
	stop   context.CancelCauseFunc
	status Status
	cancel context.CancelCauseFunc // of the order under way; nil: there is none
}

// Run is the life of an agent that can become another version of itself: run is called for as long
// as it is this one.
func Run(ctx context.Context, cfg Config, run func(ctx context.Context, u *Updater) error) (err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h, err := openHome()
	if err != nil {
		return err
	}
	off := cfg.Off
	if off == "" {
		off = h.managed()
	}
	if off != "" {
		cfg.Logger.Info("this program does not update itself", "reason", off)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return errs.New(errs.KindOf(err), "datadir.create", "create directory for updates: %w", err)
	}
	lock := flock.New(filepath.Join(cfg.Dir, "lock"))
	held, err := lock.TryLock()
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.lock", "lock directory %s: %w", cfg.Dir, err)
	}
	if !held {
		return errs.New(errs.Busy, "datadir.locked", "directory %s is in use by another process", cfg.Dir).
			WithHint("stop the other process, or choose another directory with --data-dir")
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	u := &Updater{
		cfg: cfg, home: h, off: off, free: freeOn, run: run, unlock: lock.Unlock,
		trial: trial{arguments: cfg.Arguments, errOut: cfg.ErrOut, stays: staysFor},
	}
	u.sum = sync.OnceValues(func() (string, error) { return digest(h.path) })
	return drive(ctx, u)
}

func (u *Updater) now() time.Time { return time.Now() }

func (u *Updater) load() (State, error) {
	var s State
	b, err := os.ReadFile(filepath.Join(u.cfg.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return State{}, errs.New(errs.KindOf(err), "update.state", "read how an update stands: %w", err)
	}
	return s, nil
}

func (u *Updater) save(s State) error {
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return fmt.Errorf("keep how an update stands: %w", err)
	}
	return writeState(u.cfg.Dir, b)
}

// facts is called before anything has changed in the life of this process: what lies under its
// name then is what runs.
func (u *Updater) facts() (Facts, error) {
	sum, err := u.sum()
	if err != nil {
		return Facts{}, err
	}
	return u.home.facts(sum)
}

func (u *Updater) replace() error { return u.home.replace() }
func (u *Updater) restart() error {
	u.cfg.Logger.Info("the new version takes over")
	if runtime.GOOS == "windows" { // there it is another process, and finds the directory in use
		if err := u.unlock(); err != nil {
			return err
		}
	}
	return u.home.restart(u.cfg.Arguments, os.Environ())
}

func (u *Updater) failed(what string, err error) {
	u.cfg.Logger.Error(what, "error", err)
}

func (u *Updater) clear(s State) {
	if s.Phase == Idle && u.off == "" {
		_ = os.Remove(u.home.staged()) // usually there is none
	}
}

func (u *Updater) try(ctx context.Context, o Order) ([]string, error) {
	u.cfg.Logger.Info("a new version is on trial", "version", o.Package.Version, "limit", o.Limit.String())
	if u.cfg.Ready != nil {
		u.cfg.Ready()
	}
	log, err := u.trial.try(ctx, u.home.staged(), o.Limit)
	if err == nil {
		u.cfg.Logger.Info("the new version has proved itself", "version", o.Package.Version)
	}
	return log, err
}

// serve is the agent until it ends, or an order wants a new version tried.
func (u *Updater) serve(ctx context.Context) error {
	s, err := u.load()
	if err != nil {
		u.failed("how an update stands cannot be told", err)
	}
	own, stop := context.WithCancelCause(ctx)
	u.mu.Lock()
	u.ctx, u.stop, u.cancel, u.hooks = own, stop, nil, Hooks{}
	u.status = Status{Managed: u.off, Last: s.Last}
	u.mu.Unlock()
	err = u.run(own, u)
	u.mu.Lock()
	u.hooks = Hooks{} // no order is taken from here on
	u.mu.Unlock()
	tried := errors.Is(context.Cause(own), errTry)
	stop(nil)
	u.work.Wait()
	if tried && ctx.Err() == nil {
		return errTry
	}
	return err
}

// Attach gives the updater what it needs of the agent that runs now.
func (u *Updater) Attach(h Hooks) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.hooks = h
}

// Status says how the newest order stands.
func (u *Updater) Status() Status {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status
}

// Begin takes an order and carries it out beside the caller; one that is under way is gone on with.
// again and downgrade allow what State.Refuse would not.
func (u *Updater) Begin(o Order, again, downgrade bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hooks.Source == nil {
		return errs.New(errs.Unavailable, "agent.stopping", "update to %s: the agent is starting or shutting down", o.Package.Version)
	}
	if u.off != "" {
		return errs.New(errs.Denied, "update.managed", "update to %s: %s", o.Package.Version, u.off).
			WithHint("update the package of the computer; see operator/updates.md")
	}
	if u.cancel != nil {
		if u.status.ID == o.ID {
			return nil
		}
		return errs.New(errs.Busy, "update.busy", "update to %s: another update is under way", o.Package.Version)
	}
	if err := o.Package.Verify(u.hooks.Authority(), o.Signature); err != nil {
		return err
	}
	if p := (Package{OS: runtime.GOOS, Arch: runtime.GOARCH}); o.Package.Platform() != p.Platform() {
		return errs.New(errs.Invalid, "update.platform", "update to %s: it is for %s, and this computer is %s", o.Package.Version, o.Package.Platform(), p.Platform())
	}
	s, err := u.load()
	if err != nil {
		return err
	}
	o.From = u.cfg.Version
	if err := s.Refuse(o, again, downgrade); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(u.ctx)
	u.cancel = cancel
	u.status = Status{ID: o.ID, Phase: Downloading, Size: o.Package.Size, Last: s.Last}
	hooks := u.hooks
	u.work.Go(func() { u.carryOut(ctx, s, o, hooks) })
	return nil
}

// errNoServer is why an order ends whose server could not be reached for long: it may have given it up.
var errNoServer = errors.New("the server could not be reached")

// errCancelled is why an order ends that the server has taken back.
var errCancelled = errs.New(errs.Cancelled, "update.cancelled", "the server took the order back")

// Cancel ends an order, unless the new version is tried already.
func (u *Updater) Cancel(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cancel != nil && u.status.ID == id {
		u.cancel(errCancelled)
	}
}

// carryOut brings the new version beside this one, and has the agent end so that it can be tried.
func (u *Updater) carryOut(ctx context.Context, s State, o Order, h Hooks) {
	u.cfg.Logger.Info("update begins", "from", o.From, "to", o.Package.Version)
	err := u.prepare(ctx, o, h)
	u.mu.Lock()
	defer u.mu.Unlock()
	if err == nil {
		if err = u.save(s.Begin(o)); err == nil {
			u.status.Phase, u.status.Waits = OnItsWay, ""
			u.stop(errTry)
			return
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, errCancelled) {
		err = cause
	}
	u.cancel = nil
	h.Resume()
	_ = os.Remove(u.home.staged()) // it may be there or not
	if u.ctx.Err() != nil || errors.Is(err, errNoServer) {
		u.cfg.Logger.Warn("update left off; the server orders it again, if it still wants it", "to", o.Package.Version, "error", err)
		u.status = Status{Managed: u.off, Last: s.Last}
		return
	}
	u.cfg.Logger.Error("update not done", "to", o.Package.Version, "error", err)
	s.Order = o
	if errs.CodeOf(err) == "update.self-check" {
		s = s.Unproven(err, nil, time.Now())
	} else {
		s = s.Fail(err, nil, time.Now())
	}
	if err := u.save(s); err != nil {
		u.failed("how an update stands cannot be kept", err)
	}
	u.status = Status{Managed: u.off, Last: s.Last}
}

func (u *Updater) note(phase, waits string, have int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.status.Phase, u.status.Waits, u.status.Have = phase, waits, have
}

func (u *Updater) prepare(ctx context.Context, o Order, h Hooks) error {
	p := o.Package
	path, err := u.download(ctx, p, h.Source)
	if err != nil {
		return err
	}
	u.note(Checking, "", p.Size)
	if u.home.replaced() {
		return errs.New(errs.Busy, "update.replaced", "update to %s: somebody has put another file in the place of %s since the agent was started", p.Version, u.home.path).
			WithHint("restart the agent, and order the update again")
	}
	if err := room(u.free, filepath.Dir(u.home.path), p.Size); err != nil {
		return err
	}
	if _, err := u.sum(); err != nil { // while what runs is surely what lies there
		return err
	}
	if err := u.home.stage(path, p); err != nil {
		return errs.New(errs.KindOf(err), errs.CodeOf(err), "lay version %s beside the program: %w", p.Version, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the package that came: %w", err)
	}
	if err := checkItself(ctx, u.home.staged(), u.cfg.SelfCheck, p); err != nil {
		return err
	}
	return h.Drain(ctx, func(waits string) { u.note(Waiting, waits, p.Size) })
}

// download brings the package, also over links that come and go.
func (u *Updater) download(ctx context.Context, p Package, from Source) (string, error) {
	last, most := time.Now(), int64(0)
	for {
		path, err := fetch(ctx, filepath.Join(u.cfg.Dir, "packages"), p, u.free, from, func(have int64) {
			if have > most { // what is there from before is told of each time
				last, most = time.Now(), have
			}
			u.note(Downloading, "", have)
		})
		switch {
		case err == nil || errs.KindOf(err) != errs.Unavailable:
			return path, err
		case time.Since(last) > lastingMost:
			return "", errors.Join(errNoServer, err)
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(againAfter):
		}
	}
}
