package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

// node is an agent or a transport service. It takes orders, and does what the seed says.
type node struct {
	manager.Node
	online  bool
	boots   int
	work    map[string]*work   // by attempt
	spool   map[string]*ending // ends that were not answered yet, by attempt
	names   map[string]string  // transport: point or tombstone, by attempt
	tasks   map[string]string  // of every attempt that it took
	partial map[string]bool    // transport: the points that were made of a checkpoint
	since   time.Time          // when it was cut off, while it is
	mute    time.Time          // until when its heartbeats are lost
	admin   map[int64]bool     // sessions of administration that it has done the work of
	anew    bool               // agent: it is to start again by what it has installed
}

// work is an attempt at a node.
type work struct {
	seq     int // orders are told apart by when they came, for names are random
	session int64
	task    string
	backup  bool
	stopped bool
	early   bool // it ends before it has read all
}

type ending struct {
	seq int
	end *keepwardv1.AttemptEnd
}

func (n *node) boot() string { return fmt.Sprintf("%s/%d", n.Name, n.boots) }

// attempts lists what the node works on, the oldest first.
func (n *node) attempts() []string {
	return slices.SortedFunc(maps.Keys(n.work), func(a, b string) int { return n.work[a].seq - n.work[b].seq })
}

func (n *node) spooled() []string {
	return slices.SortedFunc(maps.Keys(n.spool), func(a, b string) int { return n.spool[a].seq - n.spool[b].seq })
}

// take is an order; the second time it changes nothing.
func (s *site) take(n *node, o *keepwardv1.Order, backup bool) {
	id := o.GetAttempt()
	if n.work[id] != nil || n.spool[id] != nil {
		return
	}
	s.seq++
	n.tasks[id] = o.GetTask()
	n.work[id] = &work{seq: s.seq, session: o.GetSession(), task: o.GetTask(), backup: backup}
}

func (n *node) halt(attempt string) error {
	w := n.work[attempt]
	if w == nil {
		return errs.New(errs.NotFound, "attempt.unknown", "stop attempt: unknown")
	}
	w.stopped = true
	return nil
}

// finish ends an attempt at a node. A mover of a backup commits, unless a tombstone was quicker.
func (s *site) finish(n *node, attempt string, failure *keepwardv1.Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := n.work[attempt]
	if w == nil {
		return // the node was started anew meanwhile
	}
	delete(n.work, attempt)
	end := &keepwardv1.AttemptEnd{Outcome: "done"}
	switch {
	case w.stopped:
		end.Outcome = "aborted"
	case failure != nil:
		end.Outcome, end.Failure = "failed", failure
	case w.backup && n.Role == wire.RoleTransport && (n.names[attempt] == "tombstone" || n.partial[attempt]):
		end.Outcome = "failed"
		end.Failure = &keepwardv1.Failure{Kind: string(errs.Cancelled), Message: "the attempt was cut off"}
	case w.backup && n.Role == wire.RoleTransport:
		n.names[attempt], end.Committed = "point", true
		if s.early[attempt] {
			end.Point = &keepwardv1.PointSummary{Id: attempt, Partial: true}
		}
	case w.early:
		end.Committed, s.early[attempt] = true, true
	}
	s.seq++
	n.spool[attempt] = &ending{seq: s.seq, end: end}
	s.note("%s: attempt %d of session %d ends: %s", n, w.seq, w.session, end.GetOutcome())
	if end.GetOutcome() == "done" {
		s.administer(n, w)
	}
}

// report brings the ends that a node has to the server; keep reports them again later.
func (s *site) report(n *node, keep bool) {
	if s.m == nil || !n.online {
		return
	}
	for _, id := range n.spooled() {
		s.mu.Lock()
		end := n.spool[id].end
		s.mu.Unlock()
		if err := s.m.End(context.Background(), n.Node, id, end); err != nil {
			s.note("%s: end not taken: %v", n, err)
			continue
		}
		if !keep {
			s.mu.Lock()
			delete(n.spool, id)
			s.mu.Unlock()
		}
	}
	synctest.Wait()
}

// beat sends a node's heartbeat, and has it drop what the server does not want.
func (s *site) beat(n *node) {
	if s.m == nil || time.Now().Before(n.mute) {
		return
	}
	var states []*keepwardv1.AttemptState
	s.mu.Lock()
	for _, id := range n.attempts() {
		states = append(states, &keepwardv1.AttemptState{Attempt: id})
	}
	for _, id := range n.spooled() {
		states = append(states, &keepwardv1.AttemptState{Attempt: id, Ended: true})
	}
	s.mu.Unlock()
	drop, err := s.m.Heartbeat(context.Background(), n.Node, n.boot(), states)
	s.must(err)
	s.mu.Lock()
	for _, id := range drop {
		delete(n.work, id)
	}
	s.mu.Unlock()
	synctest.Wait()
}

func (s *site) up(n *node) {
	if s.m == nil || n.online {
		return
	}
	n.mute = time.Time{}
	s.beat(n)
	s.mu.Lock()
	n.online = true
	s.mu.Unlock()
	s.m.NodeOnline(n.Node)
	synctest.Wait()
}

func (s *site) down(n *node) {
	if s.m == nil || !n.online {
		return
	}
	s.mu.Lock()
	n.online, n.since = false, time.Now()
	s.mu.Unlock()
	s.m.NodeOffline(n.Node)
	synctest.Wait()
}

func (s *site) connectAll() {
	for _, n := range s.sorted() {
		s.up(n)
	}
}

// die is a crash of a node's process: what it ran is gone, what it had to report is kept.
func (s *site) die(n *node) {
	s.count.crashes++
	s.down(n)
	s.mu.Lock()
	clear(n.work)
	n.boots++
	s.mu.Unlock()
}

// agentClient and transportClient are the nodes as the server calls them.
type agentClient struct {
	keepwardv1connect.AgentServiceClient // no invented job has scripts: what is not foreseen is a nil call
	s                                    *site
	n                                    *node
}

func (c *agentClient) StartBackup(ctx context.Context, req *connect.Request[keepwardv1.StartBackupRequest]) (*connect.Response[keepwardv1.StartBackupResponse], error) {
	o := req.Msg.GetOrder()
	err := c.s.net.call(ctx, c.n.Node, o.GetSession(), "start", func() error { c.s.take(c.n, o, true); return nil })
	return connect.NewResponse(&keepwardv1.StartBackupResponse{}), err
}

func (c *agentClient) StartRestore(ctx context.Context, req *connect.Request[keepwardv1.StartRestoreRequest]) (*connect.Response[keepwardv1.StartRestoreResponse], error) {
	o := req.Msg.GetOrder()
	err := c.s.net.call(ctx, c.n.Node, o.GetSession(), "start", func() error { c.s.take(c.n, o, false); return nil })
	return connect.NewResponse(&keepwardv1.StartRestoreResponse{}), err
}

// StopAttempt with commit has the agent end its walk early: that end is one like any other.
func (c *agentClient) StopAttempt(ctx context.Context, req *connect.Request[keepwardv1.StopAttemptRequest]) (*connect.Response[keepwardv1.StopAttemptResponse], error) {
	o := req.Msg.GetOrder()
	err := c.s.net.call(ctx, c.n.Node, o.GetSession(), "stop", func() error {
		if w := c.n.work[o.GetAttempt()]; req.Msg.GetCommit() && w != nil {
			w.early = true
			return nil
		}
		return c.n.halt(o.GetAttempt())
	})
	return connect.NewResponse(&keepwardv1.StopAttemptResponse{}), err
}

type transportClient struct {
	keepwardv1connect.TransportServiceClient // what is not foreseen is a nil call
	s                                        *site
	n                                        *node
}

func (c *transportClient) StartMover(ctx context.Context, req *connect.Request[keepwardv1.StartMoverRequest]) (*connect.Response[keepwardv1.StartMoverResponse], error) {
	o := req.Msg.GetOrder()
	err := c.s.net.call(ctx, c.n.Node, o.GetSession(), "start", func() error {
		c.s.take(c.n, o, req.Msg.GetMode() == "backup")
		return nil
	})
	return connect.NewResponse(&keepwardv1.StartMoverResponse{Mover: &keepwardv1.MoverEndpoint{Address: c.n.Name + ":7481", TaskKey: []byte("k")}}), err
}

func (c *transportClient) StopMover(ctx context.Context, req *connect.Request[keepwardv1.StopMoverRequest]) (*connect.Response[keepwardv1.StopMoverResponse], error) {
	o := req.Msg.GetOrder()
	err := c.s.net.call(ctx, c.n.Node, o.GetSession(), "stop", func() error { return c.n.halt(o.GetAttempt()) })
	return connect.NewResponse(&keepwardv1.StopMoverResponse{}), err
}

func (c *transportClient) FenceAttempt(ctx context.Context, req *connect.Request[keepwardv1.FenceAttemptRequest]) (*connect.Response[keepwardv1.FenceAttemptResponse], error) {
	o := req.Msg.GetOrder()
	res := make(chan *keepwardv1.FenceAttemptResponse, 2) // a call may be delivered twice
	err := c.s.net.call(ctx, c.n.Node, o.GetSession(), "fence", func() error {
		id := o.GetAttempt()
		switch {
		case c.n.names[id] != "":
		case req.Msg.GetCommit() && c.n.tasks[id] != "": // it wrote, and has a checkpoint
			c.n.names[id], c.n.partial[id] = "point", true
		default:
			c.n.names[id] = "tombstone"
		}
		res <- &keepwardv1.FenceAttemptResponse{Committed: c.n.names[id] == "point", Checkpoint: true, Partial: c.n.partial[id]}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(<-res), nil
}

func (c *transportClient) ListMarkers(ctx context.Context, _ *connect.Request[keepwardv1.ListMarkersRequest]) (*connect.Response[keepwardv1.ListMarkersResponse], error) {
	res := make(chan *keepwardv1.ListMarkersResponse, 2) // a call may be delivered twice
	err := c.s.net.call(ctx, c.n.Node, 0, "markers", func() error {
		res <- &keepwardv1.ListMarkersResponse{Names: slices.Sorted(maps.Keys(c.n.names))}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(<-res), nil
}
