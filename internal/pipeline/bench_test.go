package pipeline

import (
	"context"
	"os"
	"testing"

	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// nullStore takes everything and has nothing, so that a benchmark measures the agent alone.
type nullStore struct{ memStore }

func (n *nullStore) Have(_ context.Context, hs []seal.H) ([]bool, error) {
	return make([]bool, len(hs)), nil
}

func (n *nullStore) Put(context.Context, []byte) error { return nil }

func (n *nullStore) Commit(context.Context, point.Draft) error { return nil }

func (n *nullStore) Checkpoint(context.Context, point.Draft) error { return nil }

func benchTree(b *testing.B) string {
	dir := os.Getenv("KEEPWARD_BENCH_TREE")
	if dir == "" {
		dir = "/usr/share"
	}
	if _, err := os.Stat(dir); err != nil {
		b.Skip(err)
	}
	return dir
}

func testKeys() *seal.Keys {
	return seal.Master{Domain: 1, Secret: seal.Secret{1, 2, 3}}.TaskKeys([16]byte{9}, "web1")
}

// BenchmarkFirst is a whole first backup without a repository: KEEPWARD_BENCH_TREE names the
// tree, /usr/share if nothing is said.
func BenchmarkFirst(b *testing.B) {
	dir := benchTree(b)
	var c *Counters
	for b.Loop() {
		c = &Counters{}
		_, err := Run(context.Background(), &nullStore{}, Options{
			Attempt: point.Attempt{1}, Keys: testKeys(), Compression: seal.CompressZstd, Counters: c,
			Selection: source.Selection{Include: []string{dir}},
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(c.readBytes.Load())
	b.ReportMetric(float64(c.readFiles.Load()), "files")
	b.ReportMetric(float64(c.sentBytes.Load())/1e6, "MB-sent")
}

// BenchmarkUnchanged is an incremental backup in which nothing has changed.
func BenchmarkUnchanged(b *testing.B) {
	dir := benchTree(b)
	m := newMemStore(testKeys())
	opts := Options{Keys: m.keys, Compression: seal.CompressZstd, Selection: source.Selection{Include: []string{dir}}}
	m.attempt, opts.Attempt = point.Attempt{1}, point.Attempt{1}
	if _, err := Run(context.Background(), m, opts); err != nil {
		b.Fatal(err)
	}
	opts.Parent, opts.Attempt = m.attempt.String(), point.Attempt{2}
	m.attempt = opts.Attempt
	var c *Counters
	for b.Loop() {
		c = &Counters{}
		opts.Counters = c
		if _, err := Run(context.Background(), m, opts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(c.readFiles.Load()), "files-read")
	b.ReportMetric(float64(c.doneFiles.Load())*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
