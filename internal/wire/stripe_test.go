package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Whatever holds for one connection holds for several.
func TestAllOfItOverSeveralConnections(t *testing.T) {
	siteConnections = 4
	defer func() { siteConnections = 0 }()
	for _, one := range []struct {
		name string
		test func(*testing.T)
	}{
		{"every request", TestASessionCarriesEveryRequest},
		{"a missing record", TestAMissingRecordKeepsNoOtherBack},
		{"credit", TestPutsStopAtTheCreditAndGoOn},
		{"a slow reader", TestASlowReaderHoldsNothingElseUp},
		{"a failed put", TestAFailedPutTellsItsReasonWhateverIsInFlight},
		{"an agent gives up", TestAnAgentThatGivesUpSaysWhy},
		{"a mover is stopped", TestAStoppedMoverTellsItsAgentWhy},
		{"lost", TestALostConnectionLosesAndDoublesNothing},
		{"silent", TestASilentPeerIsFoundOut},
		{"abandoned", TestAnAbandonedGetLeavesTheSessionUsable},
		{"runs", TestGetsAreReadInRuns},
		{"a mover that dials", TestAMoverThatDialsIsServedAsOneThatIsDialled},
		{"a mover that dials again", TestAMoverDialsAgainWhenTheConnectionIsLost},
	} {
		t.Run(one.name, one.test)
	}
}

// several asks for n connections and tells how many both ends have.
func several(t *testing.T, s *site, n int32) (*DataClient, int, int) {
	t.Helper()
	s.endpoint.Connections = n
	met := make(chan Arrival, 8)
	c := s.dial(func(c *DialConfig) { c.Connected = func(a Arrival) { met <- a } })
	return c, (<-met).Connections, (<-s.arrived).Connections
}

func TestBothEndsHaveAsManyConnectionsAsAreAskedFor(t *testing.T) {
	for wish, want := range map[int32]int{0: 1, 1: 1, 2: 2, MaxConnections: MaxConnections, MaxConnections + 5: MaxConnections} {
		s := newSite(t, &memory{}, nil)
		c, mine, its := several(t, s, wish)
		if mine != want || its != want {
			t.Errorf("of %d asked for the agent has %d, the mover %d", wish, mine, its)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A firewall that lets in only some connections does not keep the task from its work.
func TestFewerConnectionsThanAskedFor(t *testing.T) {
	s := newSite(t, &memory{}, nil)
	r := newRelay(t, s.endpoint.GetAddress())
	r.mu.Lock()
	r.most = 3
	r.mu.Unlock()
	s.endpoint.Address = r.l.Addr().String()
	c, mine, its := several(t, s, 8)
	if mine != 3 || its != 3 {
		t.Errorf("the agent has %d, the mover %d", mine, its)
	}
	if err := c.Put(t.Context(), randomBytes(1<<20)); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// A connection that breaks takes the others with it; nothing is lost or done twice.
func TestALaneThatBreaks(t *testing.T) {
	m := &memory{}
	s := newSite(t, m, nil)
	r := newRelay(t, s.endpoint.GetAddress())
	s.endpoint.Address = r.l.Addr().String()
	c, n, _ := several(t, s, 3)
	if n != 3 {
		t.Fatalf("%d connections", n)
	}
	const puts = 40
	for i := range puts {
		if i == 10 || i == 25 {
			r.mu.Lock()
			_ = r.conns[len(r.conns)-1].Close() // one of the newest three
			r.mu.Unlock()
		}
		if err := c.Put(t.Context(), append([]byte{byte(i)}, randomBytes(300_000)...)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Commit(t.Context(), point.Draft{Type: point.Complete}); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if m.count() != puts {
		t.Errorf("%d of %d puts arrived", m.count(), puts)
	}
	for i, p := range m.puts {
		if int(p[0]) != i {
			t.Fatalf("put %d came as number %d", p[0], i)
		}
	}
	if len(s.arrived) < 1 {
		t.Error("the session went on over a connection that was broken")
	}
}

// Who does not know the session gets no further connection of it, and who does only while the first
// waits.
func TestAFurtherConnectionThatNobodyWaitsFor(t *testing.T) {
	s := newSite(t, &memory{}, nil)
	c, _, _ := several(t, s, 2)
	for _, hi := range []hello{
		{nonce: c.sessionNonce(), index: 1},
		{nonce: c.sessionNonce(), index: 7},
		{nonce: seal.Secret{9}, index: 1},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		l, err := c.lane(ctx, s.endpoint.GetAddress(), hi.nonce, hi.index)
		cancel()
		if errs.KindOf(err) != errs.Denied {
			t.Errorf("number %d: %v", hi.index, err)
		}
		if l != nil {
			l.close()
		}
		if r := <-s.refused; errs.KindOf(r.Err) != errs.Denied {
			t.Errorf("the mover noted %v", r.Err)
		}
	}
	if _, err := c.Have(t.Context(), make([]seal.H, 1)); err != nil {
		t.Errorf("the session's own connections: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// lanePairs are both ends of n connections, whose bytes arrive after random times.
func lanePairs(t *testing.T, n int) (a, b []*frameConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	quick := timing{ping: 20 * time.Millisecond, dead: 5 * time.Second}
	for range n {
		x, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr))
		if err != nil {
			t.Fatal(err)
		}
		y, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		one, other := local(&late{x}, quick, Identity{}), local(&late{y}, quick, Identity{})
		one.low, other.low = newJoined(one.raw), newJoined(other.raw)
		a, b = append(a, one), append(b, other)
	}
	return a, b
}

// late writes after a random time.
type late struct{ *net.TCPConn }

func (l *late) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(rand.N(200)) * time.Microsecond)
	return l.TCPConn.Write(p)
}

func TestAStreamOverLanesComesInItsOrder(t *testing.T) {
	a, b := lanePairs(t, 5)
	a[0].bundle(a[1:])
	b[0].bundle(b[1:])
	send := randomBytes(6 << 20)
	var own sync.WaitGroup
	for _, f := range []*frameConn{a[0], b[0]} {
		own.Go(func() {
			for rest := send; len(rest) > 0; {
				n := min(1+rand.N(400_000), len(rest))
				if _, err := f.out.Write(rest[:n]); err != nil {
					t.Error(err)
					return
				}
				rest = rest[n:]
			}
			if err := f.flush(); err != nil {
				t.Error(err)
			}
			f.closeWrite()
		})
		own.Go(func() {
			got, err := io.ReadAll(f.in)
			if err != nil || !bytes.Equal(got, send) {
				t.Errorf("%d of %d bytes came, or others (%v)", len(got), len(send), err)
			}
		})
	}
	own.Wait()
	a[0].close()
	b[0].close()
}

// What a lane carries is from outside: the reader ends with an error or the stream, never hangs, and
// never reads what was not sent in its order.
func FuzzStripe(f *testing.F) {
	cell := func(number uint64, text string) []byte {
		b := binary.LittleEndian.AppendUint64(nil, number)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
		return append(b, text...)
	}
	f.Add(append(cell(0, "a"), cell(2, "c")...), append(cell(77, ""), cell(1, "b")...))
	f.Add(cell(1, "never"), cell(3, "either"))
	f.Add(append(cell(0, "a"), cell(0, "a")...), []byte{})
	f.Add(bytes.Repeat([]byte{255}, 20), []byte{1})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		a, b := lanePairs(t, 2)
		s := newStripe(withLanes(b))
		var own sync.WaitGroup
		for i, text := range [][]byte{one, two} {
			own.Go(func() {
				_ = a[i].raw.SetWriteDeadline(time.Now().Add(5 * time.Second))
				_, _ = a[i].raw.Write(text)
				_ = a[i].raw.Close()
			})
		}
		read := make(chan error, 1)
		own.Go(func() { _, err := io.ReadAll(s); read <- err })
		select {
		case <-read:
		case <-time.After(10 * time.Second):
			t.Error("it is still read")
			s.fail(errors.New("too late"))
		}
		s.close()
		own.Wait()
	})
}

func withLanes(list []*frameConn) []*frameConn {
	for _, l := range list {
		l.laneIn, l.laneOut = l.in, l.out
	}
	return list
}

// A cell that comes again, read already or not, ends the stream.
func TestACellThatComesTwiceEndsTheStream(t *testing.T) {
	for name, numbers := range map[string][]uint64{"read": {0, 0}, "waiting": {2, 2}} {
		t.Run(name, func(t *testing.T) {
			a, b := lanePairs(t, 2)
			s := newStripe(withLanes(b))
			defer s.close()
			for _, n := range numbers {
				cell := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, n), 1)
				if _, err := a[0].raw.Write(append(cell, 'x')); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := io.ReadAll(s); errs.CodeOf(err) != "connection.protocol" {
				t.Errorf("it ends with %v", err)
			}
			for _, f := range a {
				_ = f.raw.Close()
			}
		})
	}
}

// The further connections are of the certificate that the first has, also for who knows the session.
func TestAFurtherConnectionOfAnotherCertificate(t *testing.T) {
	s := newSite(t, &memory{}, nil)
	open := func(creds Credentials) (*frameConn, net.Conn) {
		raw, err := net.Dial("tcp", s.endpoint.GetAddress())
		if err != nil {
			t.Fatal(err)
		}
		fc, err := secure(t.Context(), raw, timingOf(0), nil, func(c net.Conn) *tls.Conn {
			return tls.Client(c, agentTLS(creds, s.endpoint.GetCertificateSha256()))
		})
		if err != nil {
			t.Fatal(err)
		}
		return fc, raw
	}
	own := s.ca.issue(t, RoleAgent, "web1")
	hi := hello{min: 1, max: 1, key: seal.Secret(s.endpoint.GetTaskKey()), attempt: s.attempt, wish: 3, window: recordWindow}
	first, _ := open(own)
	defer first.close()
	w, err := first.hello(&hi)
	if err != nil || w.connections != 3 {
		t.Fatalf("welcome %+v, %v", w, err)
	}
	hi.nonce = w.nonce
	for _, c := range []struct {
		creds Credentials
		index uint16
		let   bool
	}{{s.ca.issue(t, RoleAgent, "web1"), 1, false}, {own, 2, true}} {
		l, _ := open(c.creds)
		hi.index = c.index
		if _, err := l.hello(&hi); (err == nil) != c.let || err != nil && errs.KindOf(err) != errs.Denied {
			t.Errorf("number %d: %v", c.index, err)
		}
		l.close()
	}
}

// A cell of one byte takes a buffer of some thousand: an agent that sends nothing but such cells, and
// never the one that all wait for, must not have a mover hold more than what it may.
func TestSmallCellsCountAsTheMemoryThatTheyTake(t *testing.T) {
	s := &stripe{gone: make(chan struct{}), early: map[uint64]*buffer{}}
	s.moved = sync.NewCond(&s.mu)
	memory := 0
	place := func(number uint64) {
		buf := newBuffer(1)
		memory += cap(buf.b)
		if err := s.place(number, buf); err != nil {
			t.Fatal(err)
		}
	}
	const cells = 100
	for n := range uint64(cells) {
		place(n + 1)
	}
	if s.held != memory || s.await != 0 {
		t.Errorf("%d cells take %d bytes, of which %d are counted, %d of them as if they could be read", cells, memory, s.held, s.await)
	}
	place(0)
	if s.held != memory || s.await != memory {
		t.Errorf("of %d bytes that can be read %d are counted, and of all that is held %d", memory, s.await, s.held)
	}
	if _, err := io.ReadFull(s, make([]byte, cells+1)); err != nil {
		t.Fatal(err)
	}
	if s.held != 0 || s.await != 0 {
		t.Errorf("all is read, and %d bytes are counted as held, %d as not read", s.held, s.await)
	}
}
