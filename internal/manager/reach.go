package manager

import (
	"context"
	"net/netip"

	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// networks are those whose addresses are tried first.
func (m *Manager) networks() []netip.Prefix {
	list, err := job.Networks(m.knobs().Text("preferred_networks"))
	if err != nil {
		return nil // it was looked at before it was kept
	}
	return list
}

// Preferred sorts addresses, those to try first first.
func (m *Manager) Preferred(addresses []string) []string {
	return wire.Preferred(addresses, m.networks())
}

// agentAddresses are where a mover dials the agent of its task; none: the agent dials.
func (m *Manager) agentAddresses(ctx context.Context, t job.Type, agent string) ([]string, error) {
	if m.deps.Reach == nil || agent == "" || t != job.Backup && t != job.Restore {
		return nil, nil
	}
	r, err := m.deps.Reach(ctx, agent)
	if err != nil || !r.Passive {
		return nil, err
	}
	if len(r.Addresses) == 0 {
		return nil, errs.New(errs.Unavailable, "agent.no-address", "start mover: it is to dial the agent of %s, of which no address is known", agent).
			WithHint("start the agent with --listen :7482, and where the server does not see its address: keepward computer edit %s --address HOST:7482", agent)
	}
	return m.Preferred(r.Addresses), nil
}
