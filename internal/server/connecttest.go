package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// probeWithin bounds the tries of one way; all ways are tried at once.
	probeWithin = 6 * time.Second
	// testTimeout bounds a test on the whole.
	testTimeout = 20 * time.Second
)

// The results of a check.
const (
	checkWorks     = "works"
	checkFails     = "fails"
	checkNotTested = "not tested"
)

// connectionTest is one look at all the ways between a computer, the server and the transports.
type connectionTest struct {
	s     *server
	how   catalog.Connection
	known []string // addresses of the agent
	agent *nodeLink

	mu  sync.Mutex
	out []*keepwardv1.ConnectionCheck
}

// TestConnection tries every way there is, whichever is used, and says what came of each.
func (s *connectionService) TestConnection(ctx context.Context, req *connect.Request[keepwardv1.TestConnectionRequest]) (*connect.Response[keepwardv1.TestConnectionResponse], error) {
	name := req.Msg.GetName()
	if _, err := catalog.GetComputer(ctx, s.db.Read(), name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	transports, err := s.testedTransports(ctx, req.Msg.GetTransports())
	if err != nil {
		return nil, err
	}
	how, err := catalog.ConnectionOf(ctx, s.db.Read(), name)
	if err != nil {
		return nil, err
	}
	reach, err := s.reach(ctx, name)
	if err != nil {
		return nil, err
	}
	t := &connectionTest{s: s.server, how: how, known: s.manager.Preferred(reach.Addresses), agent: s.nodes.find(wire.RoleAgent, name)}
	var own sync.WaitGroup
	own.Go(func() { t.controlByServer(ctx) })
	own.Go(func() { t.controlByAgent(ctx) })
	for _, tr := range transports {
		own.Go(func() { t.dataByAgent(ctx, tr) })
		own.Go(func() { t.dataByMover(ctx, tr) })
	}
	own.Wait()
	res := &keepwardv1.TestConnectionResponse{Checks: t.sorted()}
	res.Works = usable(res.Checks)
	return connect.NewResponse(res), nil
}

// testedTransports are those that were asked for, or all.
func (s *connectionService) testedTransports(ctx context.Context, asked []string) ([]string, error) {
	all, err := catalog.TransportNames(ctx, s.db.Read())
	if err != nil || len(asked) == 0 {
		return all, err
	}
	for _, name := range asked {
		if !slices.Contains(all, name) {
			return nil, catalog.NotFound("transport", name, all)
		}
	}
	return asked, nil
}

// usable tells whether each part of the connection works by one address at least in the way that
// the computer is set to.
func usable(checks []*keepwardv1.ConnectionCheck) bool {
	works := map[string]bool{}
	for _, c := range checks {
		if c.Used {
			way := c.What + " " + c.From + " " + c.To
			works[way] = works[way] || c.Result == checkWorks
		}
	}
	for _, ok := range works {
		if !ok {
			return false
		}
	}
	return len(works) > 0
}

func (t *connectionTest) sorted() []*keepwardv1.ConnectionCheck {
	slices.SortStableFunc(t.out, func(a, b *keepwardv1.ConnectionCheck) int {
		return strings.Compare(a.What+"\x00"+a.From+"\x00"+a.To, b.What+"\x00"+b.From+"\x00"+b.To)
	})
	return t.out
}

// way is who dials whom, for what, and whether the computer is set to it.
type way struct {
	what, from, to string
	used           bool
}

// add takes in what came of a way; err: why it was not tried.
func (t *connectionTest) add(w way, results []*keepwardv1.ProbeResult, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && len(results) == 0 {
		err = errs.New(errs.Unavailable, "peer.no-address", "no address is known to dial")
	}
	if err != nil {
		t.out = append(t.out, &keepwardv1.ConnectionCheck{What: w.what, From: w.from, To: w.to, Used: w.used, Result: checkNotTested, Failure: wire.ToFailure(err, "")})
		return
	}
	for _, r := range results {
		c := &keepwardv1.ConnectionCheck{What: w.what, From: w.from, To: w.to, Used: w.used, Address: r.GetAddress(), Took: r.GetTook(), Result: checkWorks, Failure: r.GetFailure()}
		if r.GetFailure() != nil {
			c.Result = checkFails
		}
		t.out = append(t.out, c)
	}
}

func (t *connectionTest) agentName() string { return "agent " + t.how.Computer }

// client calls the agent; an error where it is offline.
func (t *connectionTest) client() (keepwardv1connect.ProbeServiceClient, error) {
	if t.agent == nil {
		return nil, errs.New(errs.Unavailable, "agent.offline", "the agent of %s is offline: it cannot be asked to dial", t.how.Computer)
	}
	return probeClient(t.agent), nil
}

func probeClient(l *nodeLink) keepwardv1connect.ProbeServiceClient {
	return keepwardv1connect.NewProbeServiceClient(l.link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()), connect.WithReadMaxBytes(openMessageMost))
}

// dial has a node try addresses.
func dial(ctx context.Context, c keepwardv1connect.ProbeServiceClient, addresses []string, role wire.Role, name string) ([]*keepwardv1.ProbeResult, error) {
	res, err := c.ProbeDial(ctx, connect.NewRequest(&keepwardv1.ProbeDialRequest{
		Addresses: addresses, Role: string(role), Name: name, Timeout: durationpb.New(probeWithin),
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetResults(), nil
}

func (t *connectionTest) controlByServer(ctx context.Context) {
	results := wire.ProbeAll(ctx, t.known, t.s.dialler.creds, wire.RoleAgent, t.how.Computer, probeWithin)
	t.add(way{"control", "server", t.agentName(), t.how.Control == catalog.DialServer}, results, nil)
}

func (t *connectionTest) controlByAgent(ctx context.Context) {
	c, err := t.client()
	var results []*keepwardv1.ProbeResult
	if err == nil {
		results, err = dial(ctx, c, nil, wire.RoleServer, "")
	}
	if err == nil && len(results) == 0 {
		err = errs.New(errs.Unavailable, "peer.no-address", "the agent knows no address of the server").WithHint("to try this way, start it with --server HOST:7480")
	}
	t.add(way{"control", t.agentName(), "server", t.how.Control == catalog.DialAgent}, results, err)
}

// transport is the link of a transport service.
func (t *connectionTest) transport(name string) (keepwardv1connect.ProbeServiceClient, error) {
	l := t.s.nodes.find(wire.RoleTransport, name)
	if l == nil {
		return nil, errs.New(errs.Unavailable, "transport.offline", "transport %s is offline", name)
	}
	return probeClient(l), nil
}

func (t *connectionTest) dataByMover(ctx context.Context, name string) {
	c, err := t.transport(name)
	var results []*keepwardv1.ProbeResult
	if err == nil && len(t.known) > 0 {
		results, err = dial(ctx, c, t.known, wire.RoleAgent, t.how.Computer)
	}
	t.add(way{"data", "transport " + name, t.agentName(), t.how.Data == catalog.DialMover}, results, err)
}

func (t *connectionTest) dataByAgent(ctx context.Context, name string) {
	results, err := t.dialTransport(ctx, name)
	t.add(way{"data", t.agentName(), "transport " + name, t.how.Data == catalog.DialAgent}, results, err)
}

// dialTransport has a transport open a port, and the agent dial it.
func (t *connectionTest) dialTransport(ctx context.Context, name string) ([]*keepwardv1.ProbeResult, error) {
	agent, err := t.client()
	if err != nil {
		return nil, err
	}
	c, err := t.transport(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx) // the port is closed when the agent is done
	defer cancel()
	opened, err := c.ProbeListen(ctx, connect.NewRequest(&keepwardv1.ProbeListenRequest{Agent: t.how.Computer, Timeout: durationpb.New(2 * probeWithin)}))
	if err != nil {
		return nil, wire.FromConnect(err)
	}
	defer func() { _ = opened.Close() }()
	if !opened.Receive() {
		return nil, wire.FromConnect(opened.Err())
	}
	return dial(ctx, agent, t.s.manager.Preferred(opened.Msg().GetAddresses()), wire.RoleTransport, name)
}
