package manager

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/wire"
)

// Updates is what brings agents to other versions.
type Updates interface {
	// Update carries out an order and returns when the agent is what it is to be, or why it is not.
	// An order that was carried out before is not begun again: how it ended is answered. line is
	// told what comes of it.
	Update(ctx context.Context, o *keepwardv1.UpdateOrder, line func(level, code, text string)) error
}

// InstallUpdate starts the session in which an agent becomes another version, and answers its
// number. by is who wants it; empty: it was begun by itself.
func (m *Manager) InstallUpdate(ctx context.Context, o *keepwardv1.UpdateOrder, by string) (int64, error) {
	if by == "" {
		by = byMaintenance
	}
	return m.submit(ctx, request{typ: job.UpdateInstall, by: by, computers: []string{o.GetComputer()}, definition: o})
}

// install is the work of such a session.
func (c *call) install(ctx context.Context) evAged {
	out := evAged{attempt: c.attempt.ID}
	if c.m.deps.Updates == nil {
		out.failure = wire.ToFailure(errs.New(errs.Invalid, "update.none", "update the agent of %s: this server updates none", c.row.Computer), string(partServer))
		return out
	}
	o := proto.CloneOf(c.plan.install)
	o.Computer = c.row.Computer
	err := c.m.deps.Updates.Update(ctx, o, func(level, code, text string) {
		out.lines = append(out.lines, &keepwardv1.Event{Time: timestamppb.Now(), Level: level, Part: string(partServer), Code: code, Text: text})
	})
	out.failure = wire.ToFailure(err, string(partServer))
	return out
}

// AgentUpdates are the settings about updates of agents: whether they are done by themselves, of how
// many computers at once, and how long a new version may take to prove itself.
func (m *Manager) AgentUpdates() (byThemselves bool, atOnce int, trial time.Duration) {
	k := m.knobs()
	return k.Bool("agent_updates"), k.Int("agent_updates_at_once"), k.Duration("agent_trial")
}

// CodeServerRestarted is why work of the server itself ended that its end has cut off.
const CodeServerRestarted = "server.restarted"
