package agent

import (
	"context"
	"net/http"
	"strings"
	"sync"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	sealed "keepward/internal/standing"
	"keepward/internal/wire"
)

// ownRuns are the runs that the agent begins by itself: the same attempts as those that the server
// orders, but for who opened them.
type ownRuns struct{ a *agent }

// busy tells whether an attempt runs, or none may begin now: what the agent begins by itself waits for
// that. An attempt that is opened and refused then would be used up.
func (o ownRuns) busy() bool { return len(o.a.attempts()) > 0 || o.a.beginsNothing() }

func (o ownRuns) stop(attempt string, why error) { o.a.stop(attempt, why) }

func (o ownRuns) run(ctx context.Context, p *keepwardv1.AgentPolicy, at *keepwardv1.AgentAttempt, began func() error, ended func(*keepwardv1.AttemptEnd)) error {
	a := o.a
	open, err := o.open(ctx, p, at)
	if err != nil {
		return err
	}
	if open.GetMover() == nil || p.GetBackup() == nil {
		return errs.New(errs.Corrupt, "transport.door", "open attempt %s at transport %s: the answer names no mover", at.GetAttempt(), p.GetTransport())
	}
	keys := &keepwardv1.RepositoryKeys{}
	if err := sealed.Open(open.GetHalf(), at.GetKeys(), sealed.Keys, at.GetAttempt(), keys); err != nil {
		return err
	}
	m := proto.CloneOf(p.GetBackup())
	m.Order = &keepwardv1.Order{Attempt: at.GetAttempt(), Task: at.GetTask(), Term: open.GetTerm()}
	m.Keys, m.Mover, m.Time = keys, open.GetMover(), open.GetOpened()
	m.Mover.Connections = p.GetBackup().GetMover().GetConnections()
	m.Parent, m.Checkpoint = open.GetParent(), open.GetCheckpoint()
	opts, err := backupOptions(m, a.cfg.DataDir)
	if err != nil {
		return err
	}
	opts.Version = a.cfg.Version
	enough := make(chan struct{})
	opts.Enough = enough
	if err := began(); err != nil { // durable before it runs: it is never used twice
		return err
	}
	return a.begin(ctx, m.GetOrder(), sync.OnceFunc(func() { close(enough) }), gentle.Work{Waits: !m.GetFullSpeed(), Processors: int(m.GetProcessors())}, func(ctx context.Context) *keepwardv1.AttemptEnd {
		a.event(at.GetAttempt(), "info", "agent.own-run", "the agent began this run of job "+p.GetJob()+" by itself, by its schedule \""+p.GetSchedule()+"\"", nil)
		end := a.backup(ctx, m, opts)
		ended(end)
		return end
	})
}

// open opens an attempt at the transport's door, at the first of its addresses that answers.
func (o ownRuns) open(ctx context.Context, p *keepwardv1.AgentPolicy, at *keepwardv1.AgentAttempt) (*keepwardv1.OpenStandingResponse, error) {
	err := errs.New(errs.Unavailable, "transport.door", "open attempt %s: no address of transport %s is known", at.GetAttempt(), p.GetTransport())
	client := wire.AgentDoorClient(o.a.node.Credentials(), p.GetTransport())
	for _, address := range p.GetAddresses() {
		res, cerr := doorAt(client, address).OpenStanding(ctx, connect.NewRequest(&keepwardv1.OpenStandingRequest{Attempt: at.GetAttempt(), Half: at.GetHalf()}))
		if cerr == nil {
			return res.Msg, nil
		}
		if errs.KindOf(cerr) != errs.Unavailable {
			return nil, cerr
		}
		err = errs.New(errs.Unavailable, "transport.door", "open attempt %s at transport %s, %s: %w", at.GetAttempt(), p.GetTransport(), strings.Join(p.GetAddresses(), ", "), cerr).
			WithHint("the agent tries again by itself; it must reach the port that the transport's --agents names")
	}
	return nil, err
}

func doorAt(client *http.Client, address string) keepwardv1connect.StandingDoorServiceClient {
	return keepwardv1connect.NewStandingDoorServiceClient(client, "https://"+address, connect.WithInterceptors(wire.Errors()))
}
