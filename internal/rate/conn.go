package rate

import (
	"net"
	"sync"
)

// conn is a connection whose sending goes by a limit.
type conn struct {
	net.Conn
	limit *Limit
	over  chan struct{}
	once  sync.Once
}

// Conn holds what is written to c to l. Close ends a wait.
func Conn(c net.Conn, l *Limit) net.Conn {
	return &conn{Conn: c, limit: l, over: make(chan struct{})}
}

// Write moves b in slices, so that the other end hears something all the time.
func (c *conn) Write(b []byte) (int, error) {
	done := 0
	for {
		part := b[done:]
		part = part[:c.limit.Slice(len(part))]
		if !c.limit.Wait(c.over, len(part)) {
			return done, net.ErrClosed
		}
		n, err := c.Conn.Write(part)
		done += n
		if err != nil || done == len(b) {
			return done, err
		}
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.over) })
	return c.Conn.Close()
}
