package server

import (
	"context"
	"net/netip"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

// paced is an own agent that can be told what its attempts may move.
type paced interface {
	SetRates(list []*keepwardv1.AttemptRates)
}

// SetRates implements manager.Pacer.
func (n *nodes) SetRates(ctx context.Context, node manager.Node, req *keepwardv1.SetRatesRequest) error {
	if node.Role == wire.RoleAgent && node.Name == job.ServerComputer {
		if o, ok := n.own.(*own); ok {
			if p, ok := o.OwnAgent.(paced); ok {
				p.SetRates(req.GetAttempts())
			}
		}
		return nil
	}
	l := n.find(node.Role, node.Name)
	if l == nil {
		return errs.New(errs.Unavailable, "", "call %s: it is offline", node)
	}
	_, err := l.traffic.SetRates(ctx, connect.NewRequest(req))
	return err
}

// Address implements manager.Pacer.
func (n *nodes) Address(node manager.Node) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[node]
	if l == nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddrPort(l.peer.Address)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr()
}
