package node

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// probeMost bounds a probe, whatever was asked for.
	probeMost = 30 * time.Second
	// probesMost bounds the addresses of one.
	probesMost = 64
)

// Prober looks for the server which way is open. It is a keepwardv1connect.ProbeServiceHandler.
type Prober struct {
	Node *Node
	// Listen opens a port as a mover would, until ctx is done, and says under which addresses it is
	// reached; nil: the node has no movers.
	Listen func(ctx context.Context, agent string, opened func(addresses []string) error) error
}

// ProbeTimeout is how long a probe may take.
func ProbeTimeout(d *durationpb.Duration) time.Duration {
	if t := d.AsDuration(); t > 0 && t < probeMost {
		return t
	}
	return probeMost
}

// ProbeDial tries all addresses at once.
func (p Prober) ProbeDial(ctx context.Context, req *connect.Request[keepwardv1.ProbeDialRequest]) (*connect.Response[keepwardv1.ProbeDialResponse], error) {
	m := req.Msg
	addresses := m.GetAddresses()
	if len(addresses) == 0 && p.Node.cfg.Server != "" {
		addresses = []string{p.Node.cfg.Server}
	}
	if len(addresses) > probesMost {
		return nil, errs.New(errs.Invalid, "connection.probe", "probe: %d addresses at once, %d are allowed", len(addresses), probesMost)
	}
	return connect.NewResponse(&keepwardv1.ProbeDialResponse{
		Results: wire.ProbeAll(ctx, addresses, p.Node.Credentials(), wire.Role(m.GetRole()), m.GetName(), ProbeTimeout(m.GetTimeout())),
	}), nil
}

// ProbeListen opens a port for one agent, until the call ends or the time is over.
func (p Prober) ProbeListen(ctx context.Context, req *connect.Request[keepwardv1.ProbeListenRequest], out *connect.ServerStream[keepwardv1.ProbeListenResponse]) error {
	if p.Listen == nil {
		return errs.New(errs.Invalid, "connection.probe", "probe: this node has no data movers")
	}
	ctx, cancel := context.WithTimeout(ctx, ProbeTimeout(req.Msg.GetTimeout()))
	defer cancel()
	return p.Listen(ctx, req.Msg.GetAgent(), func(addresses []string) error {
		return out.Send(&keepwardv1.ProbeListenResponse{Addresses: addresses})
	})
}
