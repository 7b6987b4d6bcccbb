//go:build unix

package wire

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// sink takes puts and gives one record.
type sink struct {
	memory
	rec []byte
}

func (s *sink) Put(context.Context, []byte) error { return nil }
func (s *sink) Get(_ context.Context, _ seal.ID, dst []byte) ([]byte, error) {
	return append(dst, s.rec...), nil
}

// benchSite is a site that is also reached by a unix socket.
func benchSite(b *testing.B, socket bool) *DataClient {
	s := newSite(b, &sink{rec: randomBytes(400 << 10)}, nil)
	if !socket {
		return s.dial(nil)
	}
	path := filepath.Join(b.TempDir(), "s")
	l, err := ListenUnix(path)
	if err != nil {
		b.Fatal(err)
	}
	var own sync.WaitGroup
	own.Go(func() { s.server.accept(s.server.over, l) })
	b.Cleanup(func() { _ = l.Close(); own.Wait() })
	s.endpoint.Socket = path
	return s.dial(nil)
}

// cpu reports the processor seconds of both ends per GiB: wall time depends on what else
// the machine does.
func cpu(b *testing.B, bytes int64, from time.Duration) {
	b.ReportMetric((cpuTime(b)-from).Seconds()/(float64(bytes)*float64(b.N)/(1<<30)), "cpu-s/GiB")
}

func cpuTime(b *testing.B) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkData(b *testing.B) {
	for _, way := range []string{"tls", "unix"} {
		b.Run(way+"/put", func(b *testing.B) {
			c := benchSite(b, way == "unix")
			rec := randomBytes(400 << 10)
			b.SetBytes(int64(len(rec)))
			from := cpuTime(b)
			for b.Loop() {
				if err := c.Put(b.Context(), rec); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Checkpoint(b.Context(), point.Draft{Type: point.Checkpoint}); err != nil {
				b.Fatal(err)
			}
			cpu(b, int64(len(rec)), from)
			_ = c.Close()
		})
		b.Run(way+"/get", func(b *testing.B) {
			c := benchSite(b, way == "unix")
			ids := make([]seal.ID, 64)
			b.SetBytes(int64(len(ids)) * 400 << 10)
			from := cpuTime(b)
			for b.Loop() {
				if err := c.Get(b.Context(), ids, func(int, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			cpu(b, int64(len(ids))*400<<10, from)
			_ = c.Close()
		})
		b.Run(way+"/have4096", func(b *testing.B) {
			c := benchSite(b, way == "unix")
			hs := make([]seal.H, MaxHave)
			for b.Loop() {
				if _, err := c.Have(b.Context(), hs); err != nil {
					b.Fatal(err)
				}
			}
			_ = c.Close()
		})
		b.Run(way+"/have1", func(b *testing.B) {
			c := benchSite(b, way == "unix")
			hs := make([]seal.H, 1)
			for b.Loop() {
				if _, err := c.Have(b.Context(), hs); err != nil {
					b.Fatal(err)
				}
			}
			_ = c.Close()
		})
	}
}

var _ net.Conn = (*timed)(nil)
