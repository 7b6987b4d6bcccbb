package server

import (
	"slices"

	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/wire"
)

// This file is how jobs that agents manage reach their nodes: it makes nodes a manager.StandingNodes.

// doorsMost bounds the addresses of a transport.
const doorsMost = 16

// noteDoors keeps where agents reach a transport.
func (n *nodes) noteDoors(l *nodeLink, doors []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.node.Role == wire.RoleTransport {
		l.doors = slices.Clone(doors[:min(len(doors), doorsMost)])
	}
}

// StandingAgent answers a client of the agent of that name, if it is online.
func (n *nodes) StandingAgent(name string) (keepwardv1connect.StandingAgentServiceClient, bool) {
	l := n.find(wire.RoleAgent, name)
	if l == nil {
		return nil, false
	}
	return l.standingAgent, true
}

// StandingTransport answers a client of the transport of that name, if it is online.
func (n *nodes) StandingTransport(name string) (keepwardv1connect.StandingTransportServiceClient, bool) {
	l := n.find(wire.RoleTransport, name)
	if l == nil {
		return nil, false
	}
	return l.standingTransport, true
}

// Doors are where agents reach a transport that is online; none: it has no door.
func (n *nodes) Doors(transport string) []string {
	l := n.find(wire.RoleTransport, transport)
	if l == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(l.doors)
}
