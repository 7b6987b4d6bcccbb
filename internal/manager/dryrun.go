package manager

import (
	"context"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// dryRunsAtOnce is how many computers look at the same time for one caller.
	dryRunsAtOnce = 8
	// dryRunMost ends what never would.
	dryRunMost = 24 * time.Hour
)

// DryRun asks the agents of computers what a backup with a job would take now, and passes on what
// they say: how far they are, and at the end of each a result or why there is none. It is no
// session, and nothing of it is kept. send is called by one goroutine at a time.
func (m *Manager) DryRun(ctx context.Context, j *keepwardv1.Job, computers []string, send func(*keepwardv1.DryRunResponse) error) error {
	ctx, cancel := context.WithTimeout(ctx, dryRunMost)
	defer cancel()
	var mu sync.Mutex
	all, asking := errgroup.WithContext(ctx)
	all.SetLimit(dryRunsAtOnce)
	for _, c := range computers {
		all.Go(func() error {
			tell := func(r *keepwardv1.DryRunResponse) error {
				r.Computer = c
				mu.Lock()
				defer mu.Unlock()
				return send(r)
			}
			gone, err := m.dryRunOf(asking, c, config.FilesOf(j, c), len(config.CommandsOf(j, c)) > 0, tell)
			switch {
			case gone != nil: // nobody listens any more
				return gone
			case err != nil && asking.Err() != nil:
				return asking.Err()
			case err != nil:
				return tell(&keepwardv1.DryRunResponse{Failure: wire.ToFailure(err, string(partAgent))})
			}
			return nil
		})
	}
	return all.Wait()
}

// dryRunOf asks one agent; commands: some run there as well. gone is why what it says could not be passed on.
func (m *Manager) dryRunOf(ctx context.Context, computer string, files *keepwardv1.FileSelection, commands bool, tell func(*keepwardv1.DryRunResponse) error) (gone, err error) {
	if commands && len(files.GetInclude()) == 0 {
		return nil, errs.New(errs.Invalid, "dry-run.commands", "dry run: of %s the job takes only what commands print, and these are not run", computer)
	}
	a, err := m.agent(computer)
	if err != nil {
		return nil, err
	}
	// The call ends when this returns: an agent that is in the middle of it stops.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.DryRun(ctx, connect.NewRequest(&keepwardv1.AgentDryRunRequest{
		Order: &keepwardv1.Order{Term: m.deps.Term(), Owner: m.deps.Owner}, Files: files,
	}))
	if err != nil {
		return nil, dryRunError(computer, err)
	}
	defer func() { _ = stream.Close() }() // what it has to say was heard
	done := false
	for !done && stream.Receive() {
		msg := stream.Msg()
		done = msg.GetResult() != nil
		if err := tell(&keepwardv1.DryRunResponse{Progress: msg.GetProgress(), Result: msg.GetResult()}); err != nil {
			return err, nil
		}
	}
	switch err := stream.Err(); {
	case done:
		return nil, nil
	case err != nil:
		return nil, dryRunError(computer, err)
	}
	return nil, errs.New(errs.Unavailable, "dry-run.broken", "dry run of %s: the agent ended it without a result", computer)
}

func dryRunError(computer string, err error) error {
	if connect.CodeOf(err) == connect.CodeUnimplemented {
		return errs.New(errs.Unavailable, "dry-run.old-agent", "dry run of %s: its agent is of a version that cannot do that", computer).
			WithHint("update keepward on that computer")
	}
	return wire.FromConnect(err)
}
