//go:build linux

package restore

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/seal"
)

func processorTime(b *testing.B) time.Duration {
	var r unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// The ways a file comes back, in processor time per GiB: wall time depends on what else the
// machine does, and on a disk on what was removed there before (TMPDIR=/dev/shm leaves it out).
func BenchmarkRestore(b *testing.B) {
	small := func(dir string) int64 {
		text := []byte(large("text"))
		for i := range 2000 {
			sub := filepath.Join(dir, fmt.Sprintf("d%03d", i/20))
			must(b, os.MkdirAll(sub, 0o755))
			must(b, os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), text[i*997:i*997+16<<10], 0o644))
		}
		return 2000 * 16 << 10
	}
	one := func(dir string) int64 {
		must(b, os.WriteFile(filepath.Join(dir, "f"), randomFile(64<<20, 1), 0o644))
		return 64 << 20
	}
	for _, c := range []struct {
		name   string
		fill   func(dir string) int64
		there  bool // restored before, one byte in 8 MiB changed since
		verify bool
	}{
		{"small files", small, false, false},
		{"small files, verified", small, false, true},
		{"one large file", one, false, false},
		{"one large file in place", one, true, false},
		{"one large file, verified", one, false, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			src := tempDir(b)
			size := c.fill(src)
			s := newStore()
			name := s.backup(b, src)
			b.SetBytes(size)
			cpu := time.Duration(0)
			for b.Loop() {
				to := tempDir(b)
				var l log
				o := s.options(name, src, to, &l)
				if c.there {
					restoreOK(b, o)
					spoil(b, filepath.Join(to, "f"), size, 8<<20)
				}
				o.Verify = c.verify
				began := processorTime(b)
				if n := restoreOK(b, o); n.Errors > 0 {
					b.Fatal(l.events)
				}
				cpu += processorTime(b) - began
			}
			b.ReportMetric(cpu.Seconds()/(float64(size)*float64(b.N)/(1<<30)), "cpu-s/GiB")
		})
	}
}

// spoil changes one byte in every step.
func spoil(b *testing.B, path string, size, step int64) {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(b, err)
	for at := int64(0); at < size; at += step {
		_, err := f.WriteAt([]byte{0}, at)
		must(b, err)
	}
	must(b, f.Close())
}

// What opening a bundle costs whose files are all wanted, and one of which one is.
func BenchmarkOpenBundle(b *testing.B) {
	s := newStore()
	hs := s.keys.NewHasher()
	var w seal.BundleWriter
	text := []byte(large("text"))
	for i := range 64 {
		w.Add(hs, text[i*9000:i*9000+8000])
	}
	content, h := w.Finish(hs)
	sealer, err := seal.NewSealer(s.keys, seal.CompressZstd)
	must(b, err)
	rec, err := sealer.Seal(nil, seal.KindBundle, h, nil, content)
	must(b, err)
	pool, err := newUnpackers(s.keys, 1)
	must(b, err)
	u := <-pool
	defer u.opener.Close()
	for _, files := range []int{64, 1} {
		b.Run(fmt.Sprint(files), func(b *testing.B) {
			g := &group{kind: seal.KindBundle, h: h}
			for i := range files {
				j := job{}
				j.x.Member = uint32(i)
				g.jobs = append(g.jobs, j)
			}
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if _, err := u.unpack(rec, g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
