package cli

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// waiting tells, once and as soon as it is known, what a session that is followed waits for: who
// stands before an offline computer must not be left to guess.
type waiting struct {
	a      *app
	c      *client
	giveUp string // how to end the wait
	told   map[string]bool
	hinted bool
}

// toldAtMost bounds the lines: a job of many computers that are all away needs no line for each.
const toldAtMost = 5

func (a *app) newWaiting(c *client, giveUp string) *waiting {
	return &waiting{a: a, c: c, giveUp: giveUp, told: map[string]bool{}}
}

// news are the lines that a new state of the session calls for.
func (w *waiting) news(ctx context.Context, s *keepwardv1.Session) []string {
	var lines []string
	for _, t := range s.GetTasks() {
		reason := t.GetReason()
		if job.Status(t.GetStatus()).Final() || reason.GetText() == "" || reason.GetCode() == string(job.NoReason) {
			continue
		}
		key := reason.GetCode() + " " + firstOf(reason.GetArgs())
		if w.told[key] || len(w.told) > toldAtMost {
			continue
		}
		w.told[key] = true
		if len(w.told) > toldAtMost {
			lines = append(lines, fmt.Sprintf("session %d waits for more; see 'keepward session show %d'", s.GetId(), s.GetId()))
			continue
		}
		lines = append(lines, fmt.Sprintf("session %d waits: %s%s", s.GetId(), w.a.reason(reason), w.since(ctx, reason)))
		if row, _ := job.Code(reason.GetCode()).Row(); row.Group == job.Infrastructure && !w.hinted {
			w.hinted = true
			lines = append(lines, "it goes on by itself as soon as that is back; "+w.giveUp)
		}
	}
	return lines
}

func firstOf(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// since says when a node that is away was there last. What cannot be asked is left out: the
// reason stands without it.
func (w *waiting) since(ctx context.Context, r *keepwardv1.Reason) string {
	name := firstOf(r.GetArgs())
	switch job.Code(r.GetCode()) {
	case job.AgentOffline:
		if m, err := call(ctx, w.c.computers.ListComputers, &keepwardv1.ListComputersRequest{}); err == nil {
			return lastSeen(w.a, m.GetComputers(), name)
		}
	case job.TransportOffline:
		if m, err := call(ctx, w.c.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{}); err == nil {
			return lastSeen(w.a, m.GetTransports(), name)
		}
	}
	return ""
}

// member is a computer or a transport service.
type member interface {
	GetName() string
	GetStatus() string
	GetLastSeen() *timestamppb.Timestamp
}

func lastSeen[N member](a *app, nodes []N, name string) string {
	for _, n := range nodes {
		switch {
		case n.GetName() != name || n.GetStatus() == "online":
		case n.GetLastSeen() == nil:
			return " and has never connected"
		default:
			return ", last seen " + a.stamp(n.GetLastSeen())
		}
	}
	return ""
}

// reason is a reason for delay with its times in the zone of the user.
func (a *app) reason(r *keepwardv1.Reason) string { return a.localTimes(r.GetText()) }

// localTimes puts the times of a sentence of the server into the zone of the user, as the columns
// beside it are.
func (a *app) localTimes(text string) string {
	return words.LocalTimes(text, func(t time.Time) string { return a.stamp(timestamppb.New(t)) })
}
