package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// liveList shows sessions as they change.
type liveList struct {
	a      *app
	shown  map[int64]*keepwardv1.Session
	moving bool // on a terminal: the table is drawn anew
	begun  bool
}

// errNoneRuns ends a watch of what runs.
var errNoneRuns = errors.New("no session runs")

// watchList shows the sessions of a filter live, over restarts of the server; with whileAny until
// there are none, else until it is interrupted.
func (a *app) watchList(ctx context.Context, c *client, filter *keepwardv1.ListSessionsRequest, whileAny bool) error {
	_, tty := terminal(a.out)
	l := &liveList{a: a, shown: map[int64]*keepwardv1.Session{}, moving: tty && !a.format.machine()}
	var lost time.Time
	for {
		err := l.follow(ctx, c, filter, func() error {
			lost = time.Time{}
			if whileAny && len(l.shown) == 0 {
				return errNoneRuns
			}
			return nil
		})
		switch {
		case errors.Is(err, errNoneRuns):
			a.remark("no session runs")
			return nil
		case err == nil:
			err = errs.New(errs.Unavailable, codeUnreachable, "watch sessions: the server at %s ended the connection", c.address)
		case ctx.Err() != nil || errs.KindOf(err) != errs.Unavailable || !l.begun:
			return err
		}
		if lost.IsZero() {
			lost = a.now()
			a.remark("the server does not answer; waiting for it")
		} else if a.now().Sub(lost) > reachAgainWithin {
			return err
		}
		if !sleep(ctx, reachAgainEvery) {
			return ctx.Err()
		}
	}
}

// follow reads one stream to its end; after each answer it asks whether to go on.
func (l *liveList) follow(ctx context.Context, c *client, filter *keepwardv1.ListSessionsRequest, after func() error) error {
	ctx, cancel := context.WithCancel(ctx) // else closing the stream would wait for its end
	defer cancel()
	return receive(ctx, c, c.sessions.WatchSessions, &keepwardv1.WatchSessionsRequest{Filter: filter}, func(m *keepwardv1.WatchSessionsResponse) error {
		err := l.take(m)
		if err == nil {
			err = after()
		}
		if err != nil {
			cancel()
		}
		return err
	})
}

// take shows what has changed.
func (l *liveList) take(m *keepwardv1.WatchSessionsResponse) error {
	before := l.shown
	l.shown = map[int64]*keepwardv1.Session{}
	if !m.GetWhole() {
		maps.Copy(l.shown, before)
	}
	for _, s := range m.GetSessions() {
		l.shown[s.GetId()] = s
	}
	for _, id := range m.GetGone() {
		delete(l.shown, id)
	}
	first := !l.begun
	l.begun = true
	switch {
	case l.a.format.machine():
		for _, s := range m.GetSessions() {
			if err := l.a.printLine(s); err != nil {
				return err
			}
		}
	case l.moving:
		fmt.Fprint(l.a.out, "\x1b[H\x1b[2J")
		l.table()
	case first:
		l.table()
	default:
		l.lines(before, m.GetSessions())
	}
	return nil
}

func (l *liveList) table() {
	list := slices.SortedFunc(maps.Values(l.shown), func(a, b *keepwardv1.Session) int { return cmp.Compare(b.GetId(), a.GetId()) })
	l.a.sessionTable(list)
}

// lines prints one for each session that stands differently than before.
func (l *liveList) lines(before map[int64]*keepwardv1.Session, changed []*keepwardv1.Session) {
	for _, s := range changed {
		had := before[s.GetId()]
		if had != nil && had.GetStatus() == s.GetStatus() && had.GetPhase() == s.GetPhase() && had.GetReason().GetText() == s.GetReason().GetText() {
			continue
		}
		line := l.a.progressLine(s, 0)
		if s.GetJob() != "" {
			line += " · " + s.GetJob()
		}
		fmt.Fprintln(l.a.out, l.a.stamp(timestamppb.New(l.a.now()))+" "+safe(line))
	}
}
