package agent

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	"keepward/internal/source"
	"keepward/internal/survey"
)

// dryRunProgress is how often a dry run says how far it is.
const dryRunProgress = time.Second

// DryRun tells what a backup would take. It is no attempt: nothing is journalled of it, and it ends
// with the call.
func (s *service) DryRun(ctx context.Context, req *connect.Request[keepwardv1.AgentDryRunRequest], stream *connect.ServerStream[keepwardv1.AgentDryRunResponse]) error {
	if err := s.a.node.CheckTerm(req.Msg.GetOrder().GetTerm()); err != nil {
		return err
	}
	sel, err := selectionOf(req.Msg.GetFiles(), s.a.cfg.DataDir)
	if err != nil {
		return err
	}
	if s.a.shots != nil {
		hidden, err := s.a.shots.hidden()
		if err != nil {
			return err
		}
		sel.View = &source.View{Hidden: hidden}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.a.ctx, func() {
		cancel(errs.New(errs.Unavailable, "agent.stopping", "the agent was shut down during the dry run"))
	})
	defer stop()
	d := &dryRun{a: s.a, files: req.Msg.GetFiles(), send: stream.Send, tick: time.NewTicker(dryRunProgress)}
	defer d.tick.Stop()
	if err := d.do(ctx, sel); err != nil {
		return reason(ctx, err)
	}
	return nil
}

// dryRun is one dry run.
type dryRun struct {
	a     *agent
	files *keepwardv1.FileSelection
	send  func(*keepwardv1.AgentDryRunResponse) error
	tick  *time.Ticker
}

func (d *dryRun) do(ctx context.Context, sel source.Selection) error {
	if err := d.turn(ctx); err != nil {
		return err
	}
	defer func() { <-d.a.dryRuns }()
	look := survey.New(sel, d.a.cfg.DataDir)
	ctx, cancel := context.WithCancel(ctx)
	var own sync.WaitGroup
	defer own.Wait()
	defer cancel()
	type outcome struct {
		result *keepwardv1.DryRun
		err    error
	}
	done := make(chan outcome, 1) // one answer: who waits for it may be gone
	own.Go(func() {
		gentle.Thread()
		result, err := look.Run(ctx)
		done <- outcome{result, err}
	})
	for {
		select {
		case <-d.tick.C:
			p := look.Progress()
			p.Current = display(p.GetCurrent())
			if err := d.send(&keepwardv1.AgentDryRunResponse{Progress: p}); err != nil {
				return err
			}
		case o := <-done:
			if o.err != nil {
				return o.err
			}
			o.result.Files = d.files
			return d.send(&keepwardv1.AgentDryRunResponse{Progress: look.Progress(), Result: o.result})
		}
	}
}

// turn waits until no other dry run goes on at this computer.
func (d *dryRun) turn(ctx context.Context) error {
	for {
		select {
		case d.a.dryRuns <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-d.tick.C:
			if err := d.send(&keepwardv1.AgentDryRunResponse{Progress: &keepwardv1.Progress{Phase: "waiting for another dry run"}}); err != nil {
				return err
			}
		}
	}
}
