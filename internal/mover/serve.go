package mover

import (
	"context"
	"fmt"
	"log/slog"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/wire"
)

// backup stores what one agent sends.
func (t *task) backup(ctx context.Context, end *keepwardv1.AttemptEnd) error {
	g := t.guarding(ctx)
	w, err := t.repo.NewWriter(ctx, repo.WriterOptions{
		Attempt: t.order.attempt,
		Owner:   t.order.owner(),
		Keys:    t.provingKeys(),
		Term:    t.order.GetStart().GetOrder().GetTerm(),
		Durable: g.durable,
	})
	if err != nil {
		g.end(ctx, false)
		return err
	}
	defer w.Abort() // it may be called twice
	h := &backupHandler{reader: reader{t: t, metaOnly: true}, w: w}
	err = t.serve(ctx, h)
	end.Committed, end.Point = h.committed()
	w.Abort() // after a commit it has nothing to do
	g.end(ctx, end.GetCommitted())
	if end.GetCommitted() {
		return nil // whatever happened to the connection afterwards
	}
	if err == nil {
		return errs.New(errs.Cancelled, "agent.aborted", "agent %s ended without a commit", t.order.GetStart().GetAgent())
	}
	return err
}

// restore sends one agent what it asks for.
func (t *task) restore(ctx context.Context) error {
	return t.serve(ctx, &restoreHandler{reader: reader{t: t}})
}

// serve lets the agent in and lets it work.
func (t *task) serve(ctx context.Context, h wire.DataHandler) error {
	s := wire.NewDataServer(wire.DataServerConfig{
		Credentials: t.order.creds,
		Agent:       t.order.GetStart().GetAgent(),
		Attempt:     t.order.attempt,
		TaskKey:     seal.Secret(t.order.GetTaskKey()),
		Wait:        t.order.wait(),
		Dial:        t.order.GetStart().GetAgentAddresses(),
		Heartbeat:   t.order.GetStart().GetHeartbeat().AsDuration(),
		Empty:       len(t.repo.Segments()) == 0,
		Refused:     t.refused,
		Arrived:     t.arrived,
		Limit:       &t.rates.network,
	}, h)
	unhook := context.AfterFunc(ctx, func() { s.Stop(stopReason(ctx)) })
	defer unhook()
	// The session's own context: a stop must still be told to the agent.
	return s.Serve(context.WithoutCancel(ctx), t.agents...)
}

func stopReason(ctx context.Context) error {
	if cause := context.Cause(ctx); errs.CodeOf(cause) != "" {
		return cause
	}
	return errs.New(errs.Cancelled, "mover.stopped", "the mover was told to stop")
}

// maxRefusals leaves room in the log for what the task itself has to say.
const maxRefusals = 500

func (t *task) refused(r wire.Refusal) {
	switch n := t.refusals.Add(1); {
	case n > maxRefusals:
		return
	case n == maxRefusals:
		t.events.add("warning", "connection.refused", "further refused connections are not logged")
		return
	}
	who := r.Address
	if r.Peer != "" {
		who = r.Peer + " at " + r.Address
	}
	t.events.add("warning", "connection.refused", fmt.Sprintf("refused a connection of %s: %v", who, r.Err))
}

func (t *task) arrived(a wire.Arrival) {
	t.rates.met(a)
	t.spare(a)
	t.enter("transfer")
	how := "agent dialled, TLS 1.3"
	if a.Dialled {
		how = "mover dialled, TLS 1.3"
	}
	if a.Local {
		how = "agent dialled, unix socket"
	}
	code, what := "connection.made", "connected"
	if a.Again {
		code, what = "connection.again", "connected again after a lost connection"
	}
	t.events.add("info", code, fmt.Sprintf("%s %s from %s (%s)", a.Peer, what, a.Address, how))
}

// spare lets other work go first on a host that is protected and keeps the repository, too.
func (t *task) spare(a wire.Arrival) {
	if a.Again || !t.order.spares(a) {
		return
	}
	if err := gentle.Always(); err != nil {
		slog.Warn("this mover has another priority than its agent", "error", err)
	}
}

// spares tells whether other work of this host goes before a task whose agent has come so.
func (o *order) spares(a wire.Arrival) bool {
	start := o.GetStart()
	return a.Local && start.GetMode() == ModeBackup && !start.GetFullSpeed()
}
