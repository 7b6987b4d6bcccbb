package node

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/wire"
)

// waiting is a node's door and what comes through it.
type waiting struct {
	door *wire.Door
	// links are connections of the server that nobody has taken yet.
	links chan *tls.Conn
	stop  context.CancelFunc
	own   sync.WaitGroup

	mu   sync.Mutex
	pair *pairing // the one that is waited for; nil: none
}

// listen opens the door, where the node is to have one.
func (n *Node) listen() error {
	if n.cfg.Pair && n.cfg.Listen == "" {
		return errs.New(errs.Invalid, "pair.listen", "pair: who waits for the server needs an address to wait at").WithHint("start with --listen :7482")
	}
	if n.cfg.Listen == "" {
		return nil
	}
	l, err := net.Listen("tcp", n.cfg.Listen)
	if err != nil {
		return errs.New(errs.Unavailable, "listen.failed", "listen on %s: %w", n.cfg.Listen, err).WithHint("write it as HOST:PORT or :PORT")
	}
	w := &waiting{links: make(chan *tls.Conn)}
	w.door = wire.NewDoor(wire.DoorConfig{
		Listener: l, Credentials: n.proven, Link: w.link, Pairing: w.pairing,
		Refused: func(r wire.Refusal) {
			n.log.Warn("refused a connection", "from", r.Address, "peer", r.Peer, "reason", r.Err)
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.own.Go(func() { w.door.Serve(ctx) })
	n.waiting = w
	n.log.Info("waiting for calls", "address", l.Addr().String())
	return nil
}

// shut closes the door and waits for what came through it.
func (n *Node) shut() {
	if n.waiting != nil {
		n.waiting.stop()
		n.waiting.own.Wait()
	}
}

// Door is where movers call; nil: the node does not listen.
func (n *Node) Door() *wire.Door {
	if n.waiting == nil {
		return nil
	}
	return n.waiting.door
}

// Listening is host:port of the door, as the server is told it: the host is empty where it is any;
// empty: there is none.
func (n *Node) Listening() string {
	if n.waiting == nil {
		return ""
	}
	at, ok := n.waiting.door.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := ""
	if !at.IP.IsUnspecified() {
		host = at.IP.String()
	}
	return net.JoinHostPort(host, strconv.Itoa(at.Port))
}

// proven are the credentials for the door; false: there are none yet.
func (n *Node) proven() (wire.Credentials, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.creds, n.creds.CA != nil
}

// link hands a connection of the server to Run.
func (w *waiting) link(ctx context.Context, conn *tls.Conn) {
	select {
	case w.links <- conn:
	case <-ctx.Done():
		_ = conn.Close()
	}
}

// answer takes the links that the server dials, until ctx is done. Each newer one takes the
// place of the one before: a server that dials again knows better that the old one is dead.
func (n *Node) answer(ctx context.Context, s *session) {
	var own sync.WaitGroup
	defer own.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case conn := <-n.waiting.links:
			link, err := wire.AcceptLink(conn, s.svc.Handler)
			if err != nil {
				n.log.Warn("link refused", "reason", err)
				continue
			}
			own.Go(func() {
				if err := s.another().hold(ctx, link, wire.RoleServer, link.Peer().Address); err != nil && ctx.Err() == nil {
					n.log.Warn("no link to the server, waiting for its call", "server", link.Peer().Address, "error", err)
				}
			})
		}
	}
}

// dials tells whether the node dials its server.
func (n *Node) dials() bool { return n.cfg.Server != "" && !n.cfg.NoDial }

// single lets one link at a time be held.
type single struct {
	mu   sync.Mutex
	end  context.CancelCauseFunc
	over chan struct{}
}

var errReplaced = errs.New(errs.Unavailable, "link.replaced", "another link has taken its place")

// begin ends the link before and waits for its end. done must be called at the end of this one.
func (o *single) begin(ctx context.Context) (held context.Context, done func()) {
	held, end := context.WithCancelCause(ctx)
	over := make(chan struct{})
	o.mu.Lock()
	former, gone := o.end, o.over
	o.end, o.over = end, over
	o.mu.Unlock()
	if former != nil {
		former(errReplaced)
		<-gone
	}
	return held, func() {
		end(nil)
		close(over)
	}
}
