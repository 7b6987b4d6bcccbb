package agent

import (
	"context"
	"fmt"
	"maps"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/restore"
	"keepward/internal/wire"
)

// areaTarget is the first word of the codes of commands that get a file.
const areaTarget = "command-target"

// restoreInto gives a file of a point to a command. It begins at the file's beginning or not at all:
// what the command has done with a part of it nobody can tell.
func (a *agent) restoreInto(ctx context.Context, m *keepwardv1.StartRestoreRequest, opts restore.Options) *keepwardv1.AttemptEnd {
	id := m.GetOrder().GetAttempt()
	count := &restore.Counters{}
	opts.Counters = count
	err := a.connected(ctx, id, m.GetMover(), func(ctx context.Context, client *wire.DataClient) error {
		opts.Store = client
		report := func() *keepwardv1.Progress {
			p := &keepwardv1.Progress{Phase: job.PhaseRestore, Counters: restoreCounters(count)}
			if len(m.GetPaths()) == 1 {
				p.Current = string(m.GetPaths()[0])
			}
			return p
		}
		return a.watched(ctx, id, report, func() error { return a.feed(ctx, m, opts) })
	})
	return ended(ctx, err, restoreCounters(count))
}

// feed runs the command.
func (a *agent) feed(ctx context.Context, m *keepwardv1.StartRestoreRequest, opts restore.Options) error {
	id, c := m.GetOrder().GetAttempt(), m.GetCommand()
	var path []byte
	if len(m.GetPaths()) == 1 {
		path = m.GetPaths()[0]
	}
	variables := maps.Clone(m.GetCommandVariables())
	if variables == nil {
		variables = map[string]string{}
	}
	variables[job.VarFile] = string(path)
	limit := c.GetTimeLimit().AsDuration()
	if limit <= 0 {
		limit = job.DefaultCommandLimit
	}
	to := &target{a: a, ctx: ctx, order: commandOrder{Path: c.GetPath(), Arguments: c.GetArguments(), Variables: variables, Limit: limit, Input: true}}
	to.began = func() { a.event(id, "info", areaTarget+".started", "it goes to "+c.GetPath(), path) }
	// The command is started with the first bytes: a file that cannot be read at all starts nothing.
	n, err := restore.Stream(ctx, opts, to)
	if err == nil && to.command == nil { // the file is empty
		err = to.start()
	}
	if to.command == nil {
		return err
	}
	whole := err == nil && to.closeInput() == nil
	// One that takes no more is let go on to its end, which says why; one whose file cannot be read on
	// is ended before it believes that this was all.
	end, short, lost := to.ended(whole || to.refused)
	if lost != nil {
		return lost
	}
	a.reportCommand(id, areaTarget, path, end, fmt.Sprintf("; it got %d bytes", n))
	switch bad := commandFailure(areaTarget, to.what, end); {
	case err != nil && !to.refused: // why it was ended
		return err
	case bad != nil:
		return bad
	case short:
		return errs.New(errs.Invalid, "command-target.short", "%s: it ended well, but before it had taken all of the file: %d bytes were sent", to.what, n)
	}
	return nil
}

// target is a command that is started with the first byte for it.
type target struct {
	*command
	a       *agent
	ctx     context.Context
	order   commandOrder
	began   func()
	refused bool // it takes no more
}

func (t *target) start() (err error) {
	t.began()
	t.command, err = t.a.startCommand(t.ctx, "command "+t.order.Path, t.order)
	return err
}

// Write is that of the command.
func (t *target) Write(p []byte) (int, error) {
	if t.command == nil {
		if err := t.start(); err != nil {
			return 0, err
		}
	}
	n, err := t.command.Write(p)
	t.refused = err != nil && t.ctx.Err() == nil
	return n, err
}
