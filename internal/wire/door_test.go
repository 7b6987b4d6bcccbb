package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// doorSite is an agent with a door, and a mover that dials it.
type doorSite struct {
	t       *testing.T
	ca      *testCA
	door    *Door
	refused chan Refusal
	links   chan *tls.Conn
}

func newDoorSite(t *testing.T) *doorSite {
	t.Helper()
	d := &doorSite{t: t, ca: newTestCA(t), refused: make(chan Refusal, 64), links: make(chan *tls.Conn, 8)}
	creds := d.ca.issue(t, RoleAgent, "web1")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.door = NewDoor(DoorConfig{
		Listener:    l,
		Credentials: func() (Credentials, bool) { return creds, true },
		Link:        func(_ context.Context, c *tls.Conn) { d.links <- c },
		Pairing:     func() (tls.Certificate, func(context.Context, *tls.Conn), bool) { return tls.Certificate{}, nil, false },
		Refused:     func(r Refusal) { d.refused <- r },
	})
	ctx, cancel := context.WithCancel(context.Background())
	var own sync.WaitGroup
	own.Go(func() { d.door.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		own.Wait()
		for len(d.links) > 0 {
			_ = (<-d.links).Close()
		}
	})
	return d
}

func (d *doorSite) address() string { return d.door.Addr().String() }

// site is a mover that dials the door.
func (d *doorSite) site(change func(*DataServerConfig)) *site {
	return newSite(d.t, &memory{}, func(c *DataServerConfig) {
		c.Dial = []string{d.address()}
		c.Credentials = d.ca.issue(d.t, RoleTransport, "tr1")
		if change != nil {
			change(c)
		}
	})
}

// config is the agent's order.
func (d *doorSite) config(s *site) DialConfig {
	cfg := s.config()
	cfg.Credentials = d.ca.issue(d.t, RoleAgent, "web1")
	cfg.Endpoint.Passive, cfg.Door = true, d.door
	return cfg
}

func TestAMoverThatDialsIsServedAsOneThatIsDialled(t *testing.T) {
	d := newDoorSite(t)
	s := d.site(nil)
	arrived := make(chan Arrival, 8)
	cfg := d.config(s)
	cfg.Connected = func(a Arrival) { arrived <- a }
	c, err := DialData(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), []byte("record")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-s.result; err != nil {
		t.Errorf("the session ended with %v", err)
	}
	if a, b := <-arrived, <-s.arrived; !a.Dialled || !b.Dialled || a.Again {
		t.Errorf("the ends say %+v and %+v", a, b)
	}
}

// A connection that breaks is made again by the mover; nothing is lost or done twice.
func TestAMoverDialsAgainWhenTheConnectionIsLost(t *testing.T) {
	d := newDoorSite(t)
	r := newRelay(t, d.address())
	h := &memory{}
	s := newSite(t, h, func(c *DataServerConfig) {
		c.Credentials, c.Dial = d.ca.issue(t, RoleTransport, "tr1"), []string{r.l.Addr().String()}
	})
	c, err := DialData(t.Context(), d.config(s))
	if err != nil {
		t.Fatal(err)
	}
	const n = 50
	for i := range n {
		if i%10 == 5 {
			r.cut()
		}
		if err := c.Put(t.Context(), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if h.count() != n {
		t.Errorf("%d records arrived, of %d", h.count(), n)
	}
	for i, rec := range h.puts {
		if int(rec[0]) != i {
			t.Fatalf("record %d is number %d", i, rec[0])
		}
	}
}

func TestADoorRefusesMoversThatAreNotTheOrders(t *testing.T) {
	other := newTestCA(t)
	for name, change := range map[string]func(*doorSite, *DataServerConfig){
		"another transport":  func(d *doorSite, c *DataServerConfig) { c.Credentials = d.ca.issue(t, RoleTransport, "tr2") },
		"an agent":           func(d *doorSite, c *DataServerConfig) { c.Credentials = d.ca.issue(t, RoleAgent, "web2") },
		"the server":         func(d *doorSite, c *DataServerConfig) { c.Credentials = d.ca.issue(t, RoleServer, "server") },
		"a wrong key":        func(_ *doorSite, c *DataServerConfig) { c.TaskKey = seal.NewSecret() },
		"another authority":  func(_ *doorSite, c *DataServerConfig) { c.Credentials = other.issue(t, RoleTransport, "tr1") },
		"an unknown attempt": func(_ *doorSite, c *DataServerConfig) { c.Attempt[0] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoorSite(t)
			var right Credentials
			var attempt [16]byte
			var key seal.Secret
			s := d.site(func(c *DataServerConfig) {
				right, attempt, key = c.Credentials, c.Attempt, c.TaskKey
				c.Wait = 300 * time.Millisecond
				change(d, c)
			})
			cfg := d.config(s)
			fp := right.Fingerprint()
			cfg.Endpoint.CertificateSha256, cfg.Endpoint.TaskKey = fp[:], key[:]
			s.attempt = attempt
			cfg.Attempt = s.attempt.String()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			done := make(chan error, 1)
			var own sync.WaitGroup
			own.Go(func() { _, err := DialData(ctx, cfg); done <- err })
			if err := <-s.result; errs.CodeOf(err) != "agent.unreachable" || errs.HintOf(err) == "" {
				t.Errorf("the mover says %v", err)
			}
			cancel()
			if err := <-done; errs.CodeOf(err) != "mover.no-call" {
				t.Errorf("the agent says %v", err)
			}
			own.Wait()
			if len(s.arrived) > 0 {
				t.Error("it was let in")
			}
		})
	}
}

// A mover that dials talks to no other agent than that of its order.
func TestAMoverThatDialsKnowsItsAgent(t *testing.T) {
	d := newDoorSite(t)
	s := d.site(func(c *DataServerConfig) { c.Agent, c.Wait = "web2", 300*time.Millisecond })
	if err := <-s.result; errs.CodeOf(err) != "agent.unreachable" {
		t.Errorf("the mover says %v", err)
	}
}

func TestOnlyTheServerGetsALinkThroughADoor(t *testing.T) {
	d := newDoorSite(t)
	conn, err := DialAgent(t.Context(), []string{d.address()}, d.ca.issue(t, RoleServer, "server"), "web1")
	if err != nil {
		t.Fatal(err)
	}
	got := <-d.links
	if id, err := peerOf(got); err != nil || id.Role != RoleServer {
		t.Errorf("the door has let in %v (%v)", id, err)
	}
	_ = conn.Close()
	_ = got.Close()
	for name, c := range map[string]Credentials{
		"an agent": d.ca.issue(t, RoleAgent, "web2"), "a transport": d.ca.issue(t, RoleTransport, "tr1"),
		"another server": newTestCA(t).issue(t, RoleServer, "server"),
	} {
		cfg := dialling(c, wanted(RoleAgent, "web1"))
		cfg.NextProtos = []string{ALPN}
		cfg.VerifyConnection = nil // whoever comes does not care
		conn, err := tls.Dial("tcp", d.address(), cfg)
		if err == nil { // the refusal comes after the handshake
			_, err = conn.Read(make([]byte, 1))
			_ = conn.Close()
		}
		if err == nil {
			t.Errorf("%s was not refused", name)
		}
		if r := <-d.refused; r.Err == nil {
			t.Errorf("%s: refused without a reason", name)
		}
	}
	if len(d.links) > 0 {
		t.Error("somebody else got a link")
	}
	if _, err := DialAgent(t.Context(), []string{d.address()}, d.ca.issue(t, RoleServer, "server"), "web2"); errs.KindOf(err) != errs.Denied {
		t.Errorf("another agent than the one that was meant: %v", err)
	}
}

func TestAnAgentWithoutADoorSaysSo(t *testing.T) {
	d := newDoorSite(t)
	cfg := d.config(d.site(nil))
	cfg.Door = nil
	if _, err := DialData(t.Context(), cfg); errs.CodeOf(err) != "agent.not-listening" || errs.HintOf(err) == "" {
		t.Errorf("it says %v", err)
	}
}

// The first address leads to a host that drops everything, the second to a stranger, the third to
// the peer.
func TestAddressesThatLeadElsewhereArePassedOver(t *testing.T) {
	d, stranger := newDoorSite(t), newDoorSite(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()
	conn, err := DialAgent(t.Context(), []string{nobody, stranger.address(), d.address()}, d.ca.issue(t, RoleServer, "server"), "web1")
	if err != nil {
		t.Fatal(err)
	}
	if conn.RemoteAddr().String() != d.address() {
		t.Errorf("it reached %s", conn.RemoteAddr())
	}
	_ = conn.Close()
	_, err = DialAgent(t.Context(), []string{nobody, stranger.address()}, d.ca.issue(t, RoleServer, "server"), "web1")
	if errs.KindOf(err) != errs.Denied {
		t.Errorf("no address is right: %v", err)
	}
	if _, err := DialAgent(t.Context(), nil, d.ca.issue(t, RoleServer, "server"), "web1"); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("no address at all: %v", err)
	}
	if err := dialAny(t.Context(), []string{d.address()}, func(c net.Conn) error { return errors.Join(c.Close(), errors.New("no")) }); err == nil {
		t.Error("a try that failed passed for one that did not")
	}
}

// Of several calls of one number the newest counts: the mover has given those before it up. Behind the end
// of the task none is kept.
func TestTheNewestCallOfANumberIsKept(t *testing.T) {
	d := NewDoor(DoorConfig{})
	e := &expectation{calls: make(chan *frameConn, 1)}
	for i := range e.lanes {
		e.lanes[i] = make(chan *frameConn, 1)
	}
	attempt := point.Attempt{1}
	forget, err := d.expect(attempt, e)
	if err != nil {
		t.Fatal(err)
	}
	call := func(waits chan *frameConn) (fc *frameConn, closed func() bool) {
		here, there := net.Pipe()
		t.Cleanup(func() { _, _ = here.Close(), there.Close() })
		fc = local(here, timingOf(0), Identity{})
		d.hand(attempt, e, waits, fc)
		return fc, func() bool {
			_ = there.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			_, err := there.Read(make([]byte, 1))
			return errors.Is(err, io.EOF)
		}
	}
	for _, waits := range []chan *frameConn{e.calls, e.lanes[3]} {
		_, firstClosed := call(waits)
		second, secondClosed := call(waits)
		if !firstClosed() || secondClosed() {
			t.Error("the older call is kept, or both are closed")
		}
		if got := <-waits; got != second {
			t.Error("another call waits than the newest")
		}
	}
	_, lastClosed := call(e.lanes[0])
	forget()
	_, lateClosed := call(e.lanes[0])
	if !lastClosed() || !lateClosed() || len(e.lanes[0]) > 0 {
		t.Error("a call is kept that no task waits for")
	}
}
