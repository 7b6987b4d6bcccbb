//go:build unix

package wire

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"keepward/internal/repo/point"
)

// BenchmarkLongLine is a backup's data over a line on which each connection has 256 KiB under way
// and every byte takes 50 ms: what one connection of a window that losses keep small comes to. Beside
// it the line of this host.
func BenchmarkLongLine(b *testing.B) {
	for _, line := range []struct {
		name   string
		delay  time.Duration
		window int
	}{{"long", 50 * time.Millisecond, 256 << 10}, {"host", 0, 0}} {
		for _, n := range []int32{1, 4, 16} {
			b.Run(fmt.Sprintf("%s/%d", line.name, n), func(b *testing.B) {
				s := newSite(b, &sink{}, nil)
				s.endpoint.Connections = n
				if line.window > 0 {
					s.endpoint.Address = slowLine(b, s.endpoint.GetAddress(), line.delay, line.window)
				}
				c := s.dial(nil)
				rec := randomBytes(1 << 20)
				b.SetBytes(int64(len(rec)))
				for b.Loop() {
					if err := c.Put(b.Context(), rec); err != nil {
						b.Fatal(err)
					}
				}
				if err := c.Commit(b.Context(), point.Draft{Type: point.Complete}); err != nil {
					b.Fatal(err)
				}
				if err := c.Close(); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// slowLine relays connections, each with so much under way for so long.
func slowLine(b *testing.B, to string, delay time.Duration, window int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var own sync.WaitGroup
	own.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			own.Go(func() { underWay(out, in, delay, window) })
			own.Go(func() { underWay(in, out, delay, window) })
		}
	})
	b.Cleanup(func() { _ = l.Close(); own.Wait() })
	return l.Addr().String()
}

func underWay(dst, src net.Conn, delay time.Duration, window int) {
	type packet struct {
		at   time.Time
		data []byte
	}
	const size = 16 << 10
	way := make(chan packet, window/size)
	var own sync.WaitGroup
	own.Go(func() {
		defer func() { _ = dst.Close() }()
		for p := range way {
			time.Sleep(time.Until(p.at))
			if _, err := dst.Write(p.data); err != nil {
				break
			}
		}
		for range way { // the sender must not wait for ever
		}
	})
	for {
		data := make([]byte, size)
		n, err := io.ReadAtLeast(src, data, 1)
		if n > 0 {
			way <- packet{time.Now().Add(delay), data[:n]}
		}
		if err != nil {
			break
		}
	}
	close(way)
	_ = src.Close()
	own.Wait()
}
