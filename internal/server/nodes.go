package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/manager"
	"keepward/internal/wire"
)

// nodeWatcher is told when nodes come and go, in order, one call at a time.
type nodeWatcher interface {
	NodeOnline(n manager.Node)
	NodeOffline(n manager.Node)
}

// nodes is the register of links. A node is online from its first heartbeat until its link
// ends. Lock order: events, then mu.
type nodes struct {
	db      *catalog.DB
	log     *slog.Logger
	handler http.Handler                         // what nodes may call
	own     keepwardv1connect.AgentServiceClient // the server's own agent; nil: there is none
	watcher nodeWatcher
	// heartbeat is how often nodes are told to say that they are there.
	heartbeat time.Duration

	events sync.Mutex // held over a change and the telling of it, so that the order is true

	twins twins

	mu     sync.Mutex
	links  map[manager.Node]*nodeLink
	closed bool

	serving sync.WaitGroup // one per link
}

// nodeLink is one link of one node.
type nodeLink struct {
	node  manager.Node
	peer  wire.Identity
	link  *wire.Link
	by    wire.Role     // who dialled
	ready chan struct{} // closed when the link stands in the register
	calls chan struct{} // one slot for every call at work

	agent     keepwardv1connect.AgentServiceClient
	inventory keepwardv1connect.InventoryServiceClient
	updates   keepwardv1connect.AgentUpdateServiceClient
	transport keepwardv1connect.TransportServiceClient
	traffic   keepwardv1connect.NodeTrafficServiceClient

	standingAgent     keepwardv1connect.StandingAgentServiceClient
	standingTransport keepwardv1connect.StandingTransportServiceClient

	// Under nodes.mu:
	online bool
	seen   time.Time     // last heartbeat
	skew   time.Duration // the node's clock minus ours
	saved  time.Time     // when the catalog was last told of seen
	listen string        // where the agent waits for calls, as it says
	supply *keepwardv1.Supply
	doors  []string // where agents reach the transport, as it says
}

func newNodes(db *catalog.DB, log *slog.Logger, heartbeat time.Duration) *nodes {
	return &nodes{db: db, log: log, heartbeat: heartbeat, links: map[manager.Node]*nodeLink{}}
}

// turnAwayTime is how long a node that is refused has to ask why.
const turnAwayTime = 5 * time.Second

// turnAway ends a connection that gets no link. A node with a certificate of ours, such as
// one that was revoked, is told why in answer to its first call.
func turnAway(ctx context.Context, conn *tls.Conn, why error) {
	defer func() { _ = conn.Close() }()
	if errs.KindOf(why) != errs.Denied || len(conn.ConnectionState().PeerCertificates) == 0 {
		return
	}
	writer := connect.NewErrorWriter()
	link, err := wire.ServeLink(conn, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = writer.Write(w, r, wire.ToConnect(why)) // who does not listen need not know
	}))
	if err != nil {
		return
	}
	select {
	case <-link.Done():
	case <-ctx.Done():
	case <-time.After(turnAwayTime):
	}
	_ = link.Close()
}

type linkKey struct{}

// callsAtOnce is more than a node makes: a heartbeat beside a report, and a few whose caller
// has given up.
const callsAtOnce = 8

// linkOf is the link that a node's call came over.
func linkOf(ctx context.Context) (*nodeLink, error) {
	l, ok := ctx.Value(linkKey{}).(*nodeLink)
	if !ok {
		return nil, errs.New(errs.Denied, "access.link", "call: nodes call over their link")
	}
	return l, nil
}

// serve takes over a connection that asked for a link, or that the server has dialled for one (by),
// and returns when the link is done, or why there was none. up, where it is set, is called once it
// stands.
func (n *nodes) serve(ctx context.Context, conn *tls.Conn, by wire.Role, up func()) error {
	address := conn.RemoteAddr().String()
	if !n.begin() {
		_ = conn.Close()
		return errs.New(errs.Unavailable, "server.stopping", "take link: the server is shutting down")
	}
	defer n.serving.Done()
	l, err := n.open(ctx, conn, by)
	if err != nil {
		n.log.Warn("link refused", "peer", address, "reason", err)
		turnAway(ctx, conn, err)
		return err
	}
	if up != nil {
		up()
	}
	n.log.Info("link up", "node", l.peer.String(), "peer", address, "dialled_by", string(l.by))
	select {
	case <-l.link.Done():
	case <-ctx.Done():
	}
	_ = l.link.Close() // what it says of a dead peer is no news
	n.remove(l)
	n.log.Info("link down", "node", l.peer.String(), "peer", address)
	return nil
}

// begin counts a link in, unless the register is closed.
func (n *nodes) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	n.serving.Add(1)
	return true
}

func (n *nodes) open(ctx context.Context, conn *tls.Conn, by wire.Role) (*nodeLink, error) {
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return nil, errs.New(errs.Denied, "certificate.missing", "accept link: no certificate was shown")
	}
	id, err := wire.IdentityOf(certs[0])
	if err != nil {
		return nil, err
	}
	if id.Role != wire.RoleAgent && id.Role != wire.RoleTransport {
		return nil, errs.New(errs.Denied, "certificate.role", "accept link: %s is not a node", id)
	}
	if err := checkCertificate(ctx, n.db, id); err != nil {
		return nil, err
	}
	if by != wire.RoleServer {
		by = id.Role
	}
	l := &nodeLink{by: by, node: manager.Node{Role: id.Role, Name: id.Name}, ready: make(chan struct{}), calls: make(chan struct{}, callsAtOnce)}
	l.link, err = wire.ServeLink(conn, n.heartbeat, n.handlerOf(l))
	if err != nil {
		return nil, err
	}
	l.peer = l.link.Peer()
	client, opts := l.link.Client(), connect.WithInterceptors(wire.Errors())
	l.agent = keepwardv1connect.NewAgentServiceClient(client, wire.LinkURL, opts, connect.WithReadMaxBytes(agentMessageMost))
	l.inventory = keepwardv1connect.NewInventoryServiceClient(client, wire.LinkURL, opts, connect.WithReadMaxBytes(inventoryMost))
	l.updates = keepwardv1connect.NewAgentUpdateServiceClient(client, wire.LinkURL, opts, connect.WithReadMaxBytes(inventoryMost))
	l.transport = keepwardv1connect.NewTransportServiceClient(client, wire.LinkURL, opts)
	l.traffic = keepwardv1connect.NewNodeTrafficServiceClient(client, wire.LinkURL, opts)
	l.standingAgent = keepwardv1connect.NewStandingAgentServiceClient(client, wire.LinkURL, opts, connect.WithReadMaxBytes(openMessageMost))
	l.standingTransport = keepwardv1connect.NewStandingTransportServiceClient(client, wire.LinkURL, opts, connect.WithReadMaxBytes(agentMessageMost))
	n.add(l)
	close(l.ready)
	// A revocation between the check above and the register would have found no link to cut.
	if err := checkCertificate(ctx, n.db, id); err != nil {
		_ = l.link.Close()
		n.remove(l)
		return nil, err
	}
	return l, nil
}

func (n *nodes) handlerOf(l *nodeLink) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-l.ready:
		case <-r.Context().Done():
			return
		}
		select {
		case l.calls <- struct{}{}:
			defer func() { <-l.calls }()
			n.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), linkKey{}, l)))
		case <-r.Context().Done():
		}
	})
}

// add puts l into the register in the place of an older link of the same node: a node that
// dials again knows better than we do that the old one is dead.
func (n *nodes) add(l *nodeLink) {
	n.events.Lock()
	n.mu.Lock()
	old := n.links[l.node]
	n.links[l.node] = l
	wasOnline := old != nil && old.online
	n.mu.Unlock()
	if wasOnline {
		n.watcher.NodeOffline(l.node)
	}
	n.events.Unlock()
	if old != nil {
		n.log.Info("link replaced", "node", l.peer.String(), "old", old.peer.Address, "new", l.peer.Address)
		_ = old.link.Close()
	}
}

func (n *nodes) remove(l *nodeLink) {
	if seen := n.take(l); !seen.IsZero() {
		n.saveSeen(l, seen)
	}
}

// take takes l out of the register, and answers when its node was last heard of; zero where
// it is not this link that made the node online.
func (n *nodes) take(l *nodeLink) time.Time {
	n.events.Lock()
	defer n.events.Unlock()
	n.mu.Lock()
	current := n.links[l.node] == l
	if current {
		delete(n.links, l.node)
	}
	online, seen := l.online, l.seen
	n.mu.Unlock()
	if !current || !online {
		return time.Time{}
	}
	n.watcher.NodeOffline(l.node)
	return seen
}

// heard notes a heartbeat; the first of a link makes the node online. It tells whether it was that.
func (n *nodes) heard(l *nodeLink, now time.Time, skew time.Duration, info *keepwardv1.NodeInfo) bool {
	n.events.Lock()
	defer n.events.Unlock()
	n.mu.Lock()
	first := n.links[l.node] == l && !l.online
	if first {
		l.online = true
	}
	l.seen, l.skew, l.listen, l.supply = now, skew, info.GetListen(), info.GetSupply()
	n.mu.Unlock()
	if first {
		n.watcher.NodeOnline(l.node)
	}
	return first
}

// liveness is what the register knows of a node beyond the catalog.
type liveness struct {
	Online  bool
	Seen    time.Time
	Skew    time.Duration
	Address string
	By      wire.Role // who dialled
	Supply  *keepwardv1.Supply
}

func (n *nodes) liveness(node manager.Node) liveness {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[node]
	if l == nil || !l.online {
		return liveness{}
	}
	return liveness{Online: true, Seen: l.seen, Skew: l.skew, Address: l.peer.Address, By: l.by, Supply: l.supply}
}

func (n *nodes) find(role wire.Role, name string) *nodeLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.links[manager.Node{Role: role, Name: name}]
	if l == nil || !l.online {
		return nil
	}
	return l
}

// Agent answers a client of the agent of that name, if it is online.
func (n *nodes) Agent(name string) (keepwardv1connect.AgentServiceClient, bool) {
	if name == job.ServerComputer {
		return n.own, n.own != nil
	}
	l := n.find(wire.RoleAgent, name)
	if l == nil {
		return nil, false
	}
	return l.agent, true
}

// Transport answers a client of the transport of that name, if it is online.
func (n *nodes) Transport(name string) (keepwardv1connect.TransportServiceClient, bool) {
	l := n.find(wire.RoleTransport, name)
	if l == nil {
		return nil, false
	}
	return l.transport, true
}

// cut ends the link of a node that may not have one any more.
func (n *nodes) cut(role wire.Role, name string) {
	n.mu.Lock()
	l := n.links[manager.Node{Role: role, Name: name}]
	n.mu.Unlock()
	if l != nil {
		_ = l.link.Close()
	}
}

// close ends all links and waits until they are gone. No new one is taken.
func (n *nodes) close() {
	n.mu.Lock()
	n.closed = true
	var open []*nodeLink
	for _, l := range n.links {
		open = append(open, l)
	}
	n.mu.Unlock()
	for _, l := range open {
		_ = l.link.Close()
	}
	n.serving.Wait()
}
