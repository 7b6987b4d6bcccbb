package wire

import (
	"errors"
	"net"
	"testing"
)

// pipes is a listener that always has one more connection.
type pipes struct {
	net.Listener
	accepted int
}

func (p *pipes) Accept() (net.Conn, error) {
	p.accepted++
	conn, _ := net.Pipe()
	return conn, nil
}

func TestALinkAcceptsNoMoreStreamsThanItMay(t *testing.T) {
	in, done := &pipes{}, make(chan struct{})
	l := &limited{Listener: in, slots: make(chan struct{}, 2), done: done}
	var conns []net.Conn
	for range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for range 2 { // closed twice, as servers do, it gives one slot back
		_ = conns[0].Close()
	}
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	close(done)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) || in.accepted != 3 {
		t.Errorf("%d streams were accepted, the last with %v", in.accepted, err)
	}
}
