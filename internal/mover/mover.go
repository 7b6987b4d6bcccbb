// Package mover is one task between a connection and a repository: the process that a
// transport service starts for every attempt and that ends with it. It receives, checks and
// stores, or reads and sends, or reads file indexes for the server, or checks, or sweeps.
//
// It decides nothing, deletes only what a sweep's order names or nothing refers to, and serves
// no second task. What it was told, keys included, is only in its memory; what it reports is on
// disk before it ends, since the transport and the server may both be away then.
package mover

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	"keepward/internal/repo/point"
	"keepward/internal/wire"
)

// The modes of a mover.
const (
	ModeBackup  = "backup"
	ModeRestore = "restore"
	ModeBrowse  = "browse"
	ModeCheck   = "check"
	ModeRebuild = "rebuild"
	ModeSweep   = "sweep"

	ModeReconcile = "reconcile"
)

// How an attempt ended.
const (
	OutcomeDone    = "done"
	OutcomeFailed  = "failed"
	OutcomeAborted = "aborted"
)

const (
	// maxOrder bounds the order: a list of readable points is its longest part.
	maxOrder = 64 << 20
	// defaultAgentWait is how long an agent may be away.
	defaultAgentWait = 60 * time.Second
)

// Main runs one mover: it reads its order from stdin, answers on stdout once it listens, and
// returns when its end is on disk. ctx is the order to stop (SIGTERM). The error is for the
// exit code; the transport reads the end.
func Main(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	ignorePipe() // a transport that dies must not take its movers along
	ready := func(r *keepwardv1.MoverReady) error { return answer(stdout, r) }
	o, err := readOrder(stdin)
	if err != nil {
		return refuse(err, ready)
	}
	if o.background() {
		if err := gentle.Last(); err != nil {
			slog.Warn("this mover runs at the priority of a backup", "mode", o.GetStart().GetMode(), "error", err)
		}
	}
	return run(ctx, o, ready)
}

// refuse tells the transport directly: nobody waits for an end yet.
func refuse(err error, ready func(*keepwardv1.MoverReady) error) error {
	if aerr := ready(&keepwardv1.MoverReady{Failure: wire.ToFailure(err, "mover")}); aerr != nil {
		slog.Error("the transport does not hear", "error", aerr)
	}
	return err
}

func answer(stdout io.Writer, r *keepwardv1.MoverReady) error {
	if _, err := protodelim.MarshalTo(stdout, r); err != nil {
		return errs.New(errs.Unavailable, "transport.lost", "answer the transport: %w", err)
	}
	return nil
}

// run is Main without its streams.
func run(ctx context.Context, o *order, ready func(*keepwardv1.MoverReady) error) error {
	t, err := start(ctx, o)
	if err != nil {
		return refuse(err, ready)
	}
	defer t.close()
	if err := ready(&keepwardv1.MoverReady{Address: t.state.Address, Socket: t.state.Socket}); err != nil {
		slog.Warn("the transport does not hear; it will find this mover by its state", "error", err)
	}
	end := t.run(ctx)
	if err := t.conclude(end); err != nil {
		return err
	}
	return wire.FromFailure(end.GetFailure())
}

// order is a checked MoverOrder.
type order struct {
	*keepwardv1.MoverOrder
	attempt point.Attempt
	creds   wire.Credentials
}

func (o *order) wait() time.Duration {
	if d := o.GetStart().GetAgentWait().AsDuration(); d > 0 {
		return d
	}
	return defaultAgentWait
}

// serves tells whether an agent connects to this mover.
func (o *order) serves() bool {
	return o.GetStart().GetMode() == ModeBackup || o.GetStart().GetMode() == ModeRestore
}

// background tells whether nobody waits for this mover, so that backups and restores go first.
func (o *order) background() bool {
	return o.GetStart().GetMode() == ModeSweep || o.GetStart().GetMode() == ModeCheck
}

// stamp is when and where this process began, so that its id cannot be taken for another's.
func (t *task) stamp() error {
	t.state.PID = os.Getpid()
	var err error
	t.state.Boot, t.state.Started, err = Birth(t.state.PID)
	return err
}
