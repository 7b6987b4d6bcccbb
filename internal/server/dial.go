package server

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

const (
	// The waits between two calls of an agent; as those of a node that dials.
	dialFirst = 500 * time.Millisecond
	dialMost  = 30 * time.Second
	// dialsAtOnce bounds the calls on their way: a server that starts has thousands to make.
	dialsAtOnce = 64
)

// dialler keeps the links up that the server dials.
type dialler struct {
	s       *server
	creds   wire.Credentials
	changed chan struct{} // capacity 1: something is to be looked at again
	slots   chan struct{} // one a call on its way

	mu     sync.Mutex
	failed map[string]error // by computer: why it was not reached the last time
}

func newDialler(s *server) *dialler {
	return &dialler{s: s, changed: make(chan struct{}, 1), slots: make(chan struct{}, dialsAtOnce), failed: map[string]error{}}
}

// look has the dialler read the connections again.
func (d *dialler) look() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// failure is why the server does not reach a computer; nil: it does, or does not dial it.
func (d *dialler) failure(computer string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed[computer]
}

func (d *dialler) note(computer string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		delete(d.failed, computer)
		return
	}
	d.failed[computer] = err
}

// serve dials every computer whose link is the server's to dial, until ctx is done.
func (d *dialler) serve(ctx context.Context) error {
	type loop struct {
		of  catalog.Connection
		end context.CancelFunc
	}
	loops := map[string]loop{}
	var own sync.WaitGroup
	defer own.Wait()
	for {
		list, err := catalog.Connections(ctx, d.s.db.Read())
		if err != nil && ctx.Err() == nil {
			d.s.log.Error("connections not read", "error", err)
			list = nil
		}
		wanted := map[string]bool{}
		for _, c := range list {
			if c.Control != catalog.DialServer {
				continue
			}
			wanted[c.Computer] = true
			if l, ok := loops[c.Computer]; ok && l.of.Equal(c) {
				continue
			} else if ok {
				l.end()
			}
			one, end := context.WithCancel(ctx)
			loops[c.Computer] = loop{c, end}
			own.Go(func() { d.keep(one, ctx, c) })
		}
		for name, l := range loops {
			if err == nil && !wanted[name] {
				l.end()
				delete(loops, name)
				d.note(name, nil)
			}
		}
		var again <-chan time.Time
		if err != nil {
			again = time.After(dialMost)
		}
		select {
		case <-ctx.Done():
			for _, l := range loops {
				l.end()
			}
			return ctx.Err()
		case <-d.changed:
		case <-again:
		}
	}
}

// keep keeps one link up until ctx is done. A link that the agent has dialled is as good. What was
// dialled stands as long as links: it outlives the connection that said where to dial.
func (d *dialler) keep(ctx, links context.Context, c catalog.Connection) {
	node := manager.Node{Role: wire.RoleAgent, Name: c.Computer}
	wait := dialFirst
	for ctx.Err() == nil {
		if l := d.s.nodes.current(node); l != nil {
			select {
			case <-l.link.Done():
			case <-ctx.Done():
				return
			}
			wait = dialFirst
		} else if err := d.call(ctx, links, c); ctx.Err() != nil {
			return
		} else if err == nil {
			wait = dialFirst
		} else {
			if old := d.failure(c.Computer); old == nil || old.Error() != err.Error() {
				d.s.log.Warn("agent not reached", "computer", c.Computer, "error", err, "hint", errs.HintOf(err))
			}
			d.note(c.Computer, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, dialMost)
	}
}

// call makes one link and returns when it is over, or why there was none. A computer whose
// connection is edited meanwhile keeps the link that stands.
func (d *dialler) call(ctx, links context.Context, c catalog.Connection) error {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := wire.DialAgent(ctx, d.s.manager.Preferred(c.Addresses), d.creds, c.Computer)
	<-d.slots
	if err != nil {
		return wire.WithReachHint(err)
	}
	return d.s.nodes.serve(links, conn, wire.RoleServer, func() { d.note(c.Computer, nil) })
}

// reach is how the data connection with a computer is made: the addresses that were given, and the
// one from which its agent has dialled.
func (s *server) reach(ctx context.Context, computer string) (manager.Reach, error) {
	c, err := catalog.ConnectionOf(ctx, s.db.Read(), computer)
	if err != nil {
		return manager.Reach{}, err
	}
	r := manager.Reach{Passive: c.Data == catalog.DialMover, Addresses: c.Addresses}
	if at := s.nodes.listening(computer); at != "" && !slices.Contains(r.Addresses, at) {
		r.Addresses = append(slices.Clone(r.Addresses), at)
	}
	return r, nil
}

// current is the link of a node, if there is one.
func (n *nodes) current(node manager.Node) *nodeLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[node]
}

// listening is where an agent waits for calls, as far as its link tells: its address may change
// with every link. Empty: it does not, or has none.
func (n *nodes) listening(computer string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[manager.Node{Role: wire.RoleAgent, Name: computer}]
	if l == nil || l.listen == "" {
		return ""
	}
	_, port, err := net.SplitHostPort(l.listen)
	if err != nil {
		return ""
	}
	// Only the port is believed: an agent must not send movers to other hosts.
	host, _, err := net.SplitHostPort(l.peer.Address)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(host, port)
}
