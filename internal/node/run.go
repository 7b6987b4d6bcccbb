package node

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// The waits between tries to reach the server. The longest is what a fleet adds to the
	// restart of its server.
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 30 * time.Second
)

// Run keeps the link to the server up and delivers reports until ctx is done. It returns
// nil then; a server that cannot be reached, or refuses, is tried again and again.
func (n *Node) Run(ctx context.Context, svc Service) error {
	boot := make([]byte, 16)
	_, _ = rand.Read(boot) // documented never to fail
	s := &session{node: n, svc: svc, boot: hex.EncodeToString(boot), one: &single{}}
	if n.waiting != nil {
		var answered sync.WaitGroup
		defer answered.Wait()
		answered.Go(func() { n.answer(ctx, s.another()) })
	}
	if !n.dials() {
		if n.waiting == nil {
			return errs.New(errs.Invalid, "node.no-way", "reach the server: this node neither dials nor listens").WithHint("give --server HOST:PORT or --listen :7482")
		}
		<-ctx.Done()
		return nil
	}
	wait := backoffFirst
	token := n.cfg.JoinToken != ""
	for {
		err := s.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if token && lockedOut(err) {
			n.log.Warn("this identity is of no use any more, joining anew with the join token", "server", n.cfg.Server, "error", err)
			if err = n.rejoin(ctx); err == nil {
				token = false
				continue
			}
			token = errs.KindOf(err) == errs.Unavailable // any other refusal stays one
		}
		if s.greeted {
			wait = backoffFirst
		}
		pause := jitter(wait)
		hint := errs.HintOf(err)
		if hint == "" && lockedOut(err) {
			hint = "if the server was replaced by a new one, start once with --server and --join-file with a token of the new one"
		}
		n.log.Warn("no link to the server", "server", n.cfg.Server, "error", err, "hint", hint, "retry_in", pause.Round(time.Millisecond).String())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		wait = min(wait*2, backoffMost)
	}
}

// lockedOut tells whether only another identity helps: the server refuses this one, or shows the
// certificate of an authority that this one does not know, as a new server does that took the
// place of a lost one. A token tells the new authority, so nobody else can pose as it.
func lockedOut(err error) bool {
	switch errs.CodeOf(err) {
	case "certificate.revoked", "certificate.unknown", "certificate.untrusted", "certificate.refused":
		return true
	}
	return false
}

// jitter spreads a fleet over the second half of the wait.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d/2)))
	if err != nil {
		return d
	}
	return d/2 + time.Duration(n.Int64())
}

// session is one link's life, again and again.
type session struct {
	node     *Node
	svc      Service
	boot     string
	one      *single
	greeted  bool // the last link got as far as an answered heartbeat
	interval time.Duration
}

// another is the same node's, for a link of its own.
func (s *session) another() *session {
	return &session{node: s.node, svc: s.svc, boot: s.boot, one: s.one}
}

// run dials and holds the link.
func (s *session) run(ctx context.Context) error {
	n := s.node
	s.greeted = false
	link, err := wire.DialLink(ctx, n.cfg.Server, n.Credentials(), s.svc.Handler)
	if err != nil {
		return err
	}
	return s.hold(ctx, link, n.cfg.Role, n.cfg.Server)
}

// hold keeps the heart beating on a link that somebody has dialled, until it is over.
func (s *session) hold(ctx context.Context, link *wire.Link, by wire.Role, address string) error {
	n := s.node
	s.greeted, s.interval = false, wire.DefaultHeartbeat
	defer func() { _ = link.Close() }()
	ctx, done := s.one.begin(ctx)
	defer done()
	n.mu.Lock()
	n.addr, _, _ = net.SplitHostPort(link.LocalAddr().String())
	n.dialled = string(by)
	n.mu.Unlock()
	server := keepwardv1connect.NewNodeServiceClient(link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	if err := s.heartbeat(ctx, server); err != nil {
		return err
	}
	s.greeted = true
	n.log.Info("linked", "server", address, "as", n.Identity().String(), "dialled_by", string(by))
	if s.svc.Linked != nil {
		s.svc.Linked(link.Client())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-link.Done():
			return errs.New(errs.Unavailable, "link.lost", "the link to %s was lost", address)
		}
	})
	g.Go(func() error { return s.beat(ctx, server) })
	g.Go(func() error { return n.reporter.deliver(ctx, server) })
	return g.Wait()
}

func (s *session) beat(ctx context.Context, server keepwardv1connect.NodeServiceClient) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.interval):
		}
		if err := s.heartbeat(ctx, server); err != nil {
			return err
		}
	}
}

func (s *session) heartbeat(ctx context.Context, server keepwardv1connect.NodeServiceClient) error {
	// A server that misses three has lost this node, and the node its link.
	ctx, cancel := context.WithTimeout(ctx, min(callTimeout, 3*s.interval))
	defer cancel()
	req := &keepwardv1.HeartbeatRequest{
		Info:     s.svc.Info(),
		Clock:    timestamppb.Now(),
		Attempts: s.attempts(),
		Boot:     s.boot,
	}
	res, err := server.Heartbeat(ctx, connect.NewRequest(req))
	if err != nil {
		return errs.New(errs.KindOf(err), errs.CodeOf(err), "heartbeat: %w", err)
	}
	if d := res.Msg.GetInterval().AsDuration(); d > 0 {
		s.interval = d
	}
	for _, id := range res.Msg.GetDrop() {
		s.node.log.Warn("the server does not want an attempt", "attempt", id)
		s.node.reporter.drop(id)
		s.svc.Drop(id)
	}
	if list := res.Msg.GetRates(); len(list) > 0 && s.svc.Rates != nil {
		s.svc.Rates(list)
	}
	return nil
}

// attempts are those that run, and those whose end is not answered; one that is just ending
// is among both, and counts as ended.
func (s *session) attempts() []*keepwardv1.AttemptState {
	list := s.node.reporter.ended()
	for _, a := range s.svc.Attempts() {
		if !slices.ContainsFunc(list, func(e *keepwardv1.AttemptState) bool { return e.GetAttempt() == a.GetAttempt() }) {
			list = append(list, a)
		}
	}
	return list
}
