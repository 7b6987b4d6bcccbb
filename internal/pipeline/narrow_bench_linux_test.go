package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// hastyStore is a memStore that does not look through all a point needs before it takes it.
type hastyStore struct {
	*memStore
	asked, got int
}

func (h *hastyStore) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	h.asked += len(hs)
	return h.memStore.Have(ctx, hs)
}

func (h *hastyStore) Get(ctx context.Context, ids []seal.ID, fn func(int, []byte) error) error {
	h.got += len(ids)
	return h.memStore.Get(ctx, ids, fn)
}

func (h *hastyStore) Commit(_ context.Context, d point.Draft) error {
	h.points[h.attempt.String()] = point.Encode(h.keys.RepositoryID, h.attempt, d, nil)
	return nil
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkNarrowed is an incremental backup of which a tracker tells that k files have changed
// among n: KEEPWARD_BENCH_FILES are the numbers of files, 20000 if nothing is said, and
// KEEPWARD_BENCH_DIR is where they are made.
func BenchmarkNarrowed(b *testing.B) {
	sizes := os.Getenv("KEEPWARD_BENCH_FILES")
	if sizes == "" {
		sizes = "20000"
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			b.Fatal(err)
		}
		benchNarrowed(b, n)
	}
}

func benchNarrowed(b *testing.B, n int) {
	dir, err := os.MkdirTemp(os.Getenv("KEEPWARD_BENCH_DIR"), "narrowed-*")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := func(i int) string { return fmt.Sprintf("%s/%03d/%03d/f%07d", dir, i/100_000, i/100%1000, i) }
	for i := range n {
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Dir(name(i)), 0o755); err != nil {
				b.Fatal(err)
			}
		}
		if err := os.WriteFile(name(i), nil, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	m := &hastyStore{memStore: newMemStore(testKeys())}
	opts := Options{
		Keys: m.keys, Compression: seal.CompressFast, Selection: source.Selection{Include: []string{dir}},
		Attempt: point.Attempt{1}, CheckpointBytes: 1 << 40,
	}
	m.attempt = opts.Attempt
	if _, err := Run(context.Background(), m, opts); err != nil {
		b.Fatal(err)
	}
	opts.Parent, opts.Attempt = m.attempt.String(), point.Attempt{2}
	m.attempt = opts.Attempt
	r := rand.New(rand.NewPCG(1, 1))
	for _, k := range []int{0, 1000} {
		var list []source.Change
		for _, i := range r.Perm(n)[:k] {
			if err := os.WriteFile(name(i), []byte("changed"), 0o644); err != nil {
				b.Fatal(err)
			}
			list = append(list, source.Change{Path: []byte(name(i)[1:])})
		}
		opts.Changed = func(context.Context, *Before) (source.Changed, error) { return sorted(slices.Clone(list)), nil }
		b.Run(fmt.Sprintf("n=%d/k=%d", n, k), func(b *testing.B) {
			m.asked, m.got = 0, 0
			before := processorTime(b)
			for b.Loop() {
				res, err := Run(context.Background(), m, opts)
				if err != nil || !res.Narrowed {
					b.Fatal(res.Narrowed, err)
				}
			}
			b.ReportMetric(float64((processorTime(b)-before).Milliseconds())/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(m.asked)/float64(b.N), "asked/op")
			b.ReportMetric(float64(m.got)/float64(b.N), "fetched/op")
		})
	}
}
