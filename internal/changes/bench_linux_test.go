package changes

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fill makes n small files, a hundred in a directory, and answers their paths.
func fill(b *testing.B, dir string, n int) []string {
	b.Helper()
	paths := make([]string, n)
	for i := range paths {
		d := filepath.Join(dir, fmt.Sprint(i/10000), fmt.Sprint(i/100%100))
		if i%100 == 0 {
			if err := os.MkdirAll(d, 0o700); err != nil {
				b.Fatal(err)
			}
		}
		paths[i] = filepath.Join(d, fmt.Sprint(i%100))
		if err := unix.Mknod(paths[i], unix.S_IFREG|0o600, 0); err != nil {
			b.Fatal(err)
		}
	}
	return paths
}

func change(b *testing.B, paths []string, k int) {
	b.Helper()
	rng := rand.New(rand.NewPCG(uint64(k), 1))
	for range k {
		if err := os.WriteFile(paths[rng.IntN(len(paths))], []byte("x"), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTokenToSet measures from the parent's token to the whole set, over n files of which
// k were written to.
func BenchmarkTokenToSet(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		if testing.Short() && n > 10_000 {
			break
		}
		b.Run(fmt.Sprintf("tracker=btrfs/n=%d", n), func(b *testing.B) {
			v := newVolume(b, "btrfs", 16<<30)
			snaps := &snapshots{t: b, dir: v.dir, kept: map[[16]byte]string{}}
			sub := filepath.Join(v.dir, "sub")
			run(b, "btrfs", "-q", "subvolume", "create", sub)
			paths := fill(b, sub, n)
			for _, k := range []int{0, 1000, 10_000} {
				parent := snaps.take(sub)
				tok := snaps.token(parent)
				change(b, paths, k)
				cur := snaps.take(sub)
				measure(b, k, moment(b, snaps.tracker()), tok, View{Root: cur})
			}
		})
		b.Run(fmt.Sprintf("tracker=fanotify/n=%d", n), func(b *testing.B) {
			v := newVolume(b, "xfs", 16<<30)
			j := openJournal(b, v, JournalOptions{})
			paths := fill(b, v.dir, n)
			for _, k := range []int{0, 1000, 10_000} {
				tok := token(b, moment(b, j))
				change(b, paths, k)
				measure(b, k, moment(b, j), tok, View{})
			}
		})
	}
}

func measure(b *testing.B, k int, m Moment, tok []byte, view View) {
	b.Helper()
	b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
		for b.Loop() {
			set, err := m.Since(context.Background(), tok, view)
			if err != nil || set.Reason != "" {
				b.Fatal(err, set.Reason, set.Err)
			}
			b.ReportMetric(float64(set.Count), "changes")
			set.Close()
		}
	})
}

// BenchmarkJournalCost is what the journal costs who writes: a file made, written and removed.
func BenchmarkJournalCost(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			v := newVolume(b, "ext4", 1<<30)
			if watched {
				j := openJournal(b, v, JournalOptions{})
				ctx, stop := context.WithCancel(context.Background())
				served := make(chan error, 1)
				go func() { served <- j.Serve(ctx) }()
				b.Cleanup(func() { stop(); <-served })
			}
			i := 0
			for b.Loop() {
				p := filepath.Join(v.dir, fmt.Sprint(i%1000))
				i++
				if err := os.WriteFile(p, []byte("some text"), 0o600); err != nil {
					b.Fatal(err)
				}
				if err := os.Remove(p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
