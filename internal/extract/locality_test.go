//go:build linux

package extract

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/pipeline"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/restore"
	"keepward/internal/source"
)

// history is a directory that is backed up again and again, 1 to 5 % of it changed each time.
type history struct {
	*kit
	dir    string
	r      *rand.Rand
	small  int
	parent string
}

const (
	historySmall = 2500     // files of 4 to 60 KiB
	historyLarge = 2        // files that are rewritten in place
	historySize  = 24 << 20 // of each of these
)

func newHistory(b *testing.B) *history {
	h := &history{kit: newKit(b), dir: filepath.Join(tempDir(b), "src"), r: rand.New(rand.NewPCG(1, 2))}
	for range historySmall {
		h.add()
	}
	for i := range historyLarge {
		must(b, os.WriteFile(filepath.Join(h.dir, fmt.Sprintf("large%d", i)), h.text(historySize), 0o600))
	}
	return h
}

// text compresses to about half.
func (h *history) text(n int) []byte {
	const words = "0123456789abcdef"
	var s strings.Builder
	for s.Len() < n {
		v := h.r.Uint64()
		for range 16 {
			s.WriteByte(words[v&15])
			v >>= 4
		}
	}
	return []byte(s.String()[:n])
}

func (h *history) path(i int) string {
	return filepath.Join(h.dir, fmt.Sprintf("d%02d", i%37), fmt.Sprintf("f%05d", i))
}

func (h *history) add() {
	path := h.path(h.small)
	h.small++
	must(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(h.t, os.WriteFile(path, h.text(4<<10+h.r.IntN(56<<10)), 0o600))
}

// change rewrites, removes and adds 1 to 5 % of the small files, and rewrites as many pages of
// the large ones.
func (h *history) change() {
	share := 0.01 + 0.04*h.r.Float64()
	for range int(share * historySmall) {
		path := h.path(h.r.IntN(h.small))
		switch h.r.IntN(10) {
		case 0:
			_ = os.Remove(path) // it may be gone already
			h.add()
		default:
			if _, err := os.Stat(path); err == nil {
				must(h.t, os.WriteFile(path, h.text(4<<10+h.r.IntN(56<<10)), 0o600))
			}
		}
	}
	for i := range historyLarge {
		f, err := os.OpenFile(filepath.Join(h.dir, fmt.Sprintf("large%d", i)), os.O_RDWR, 0)
		must(h.t, err)
		for range int(share * historySize / (8 << 10)) {
			_, err := f.WriteAt(h.text(8<<10), int64(h.r.IntN(historySize/(8<<10)))*(8<<10))
			must(h.t, err)
		}
		must(h.t, f.Close())
	}
}

// next backs up what is there now, as an increment of the point before.
func (h *history) next() string {
	id := h.kit.r.Config().ID
	h.count++
	attempt := point.Attempt{0xab, 0xcd, h.count}
	issue, err := point.SealIssue(h.master.IssueKey(), id, attempt, point.Issue{Computer: "web1", Job: "docs", Session: int64(h.count), Time: epoch.Add(time.Duration(h.count) * time.Hour)})
	must(h.t, err)
	keys := h.master.TaskKeys(id, "web1")
	w, err := h.kit.r.NewWriter(context.Background(), repo.WriterOptions{Attempt: attempt, Owner: h.master.ComputersKey().Owner("web1"), Keys: keys})
	must(h.t, err)
	defer w.Abort()
	_, err = pipeline.Run(h.t.Context(), mover{w, h.kit.r, issue}, pipeline.Options{
		Attempt: attempt, Keys: keys, Selection: source.Selection{Include: []string{h.dir}}, Parent: h.parent,
	})
	must(h.t, err)
	h.parent = attempt.String()
	return h.parent
}

// counted is a store that counts what the disk is asked for.
type counted struct {
	*store
	runs, read, asked int
	packs             map[string]bool
}

func (c *counted) Get(ctx context.Context, ids []seal.ID, fn func(int, []byte) error) error {
	for _, n := range c.r.Runs(ctx, c.owner, ids) {
		c.runs++
		c.read += n.Size()
		c.asked += n.Asked()
	}
	for _, id := range ids {
		if l, ok := c.r.Lookup(ctx, id); ok {
			c.packs[l.PackName()] = true
		}
	}
	return c.store.Get(ctx, ids, fn)
}

func processorTime(b *testing.B) time.Duration {
	var r unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// stored is the size of the repository.
func (h *history) stored(b *testing.B) (size int64) {
	must(b, filepath.WalkDir(h.kit.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		i, err := d.Info()
		if err == nil {
			size += i.Size()
		}
		return err
	}))
	return size
}

func (h *history) restore(b *testing.B, name string) {
	s, err := open(b.Context(), Options{Repository: h.kit.dir, RecoveryKey: h.key})
	must(b, err)
	defer func() { must(b, s.r.Close()) }()
	a, err := point.ParseAttempt(name)
	must(b, err)
	object, err := s.r.Point(b.Context(), a)
	must(b, err)
	var c *counted
	var cpu time.Duration
	for b.Loop() {
		c = &counted{packs: map[string]bool{}, store: &store{r: s.r, owner: s.master.ComputersKey().Owner("web1"), name: name, obj: object}}
		to := tempDir(b)
		began := processorTime(b)
		res, err := restore.Run(b.Context(), restore.Options{
			Store: c, Keys: s.master.TaskKeys(s.r.Config().ID, "web1"), Point: name, To: to, NoSync: true, Workers: 1,
		})
		cpu += processorTime(b) - began
		must(b, err)
		b.SetBytes(res.Counters.DoneBytes)
	}
	b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
	b.ReportMetric(float64(c.runs), "reads")
	b.ReportMetric(float64(c.read)/(1<<20), "MiB-read")
	b.ReportMetric(float64(c.asked)/(1<<20), "MiB-asked")
	b.ReportMetric(float64(len(c.packs)), "packs")
	b.ReportMetric(float64(h.stored(b))/(1<<20), "MiB-repository")
}

// How fast the hundredth incremental comes back, beside a fresh full of the same files: the
// goal is 70 %. Processor time tells it on a disk that answers at once; on one that seeks,
// the number of reads does.
func BenchmarkRestoreOfTheHundredthIncremental(b *testing.B) {
	h := newHistory(b)
	first := h.next()
	for range 100 {
		h.change()
		h.next()
	}
	last := h.parent
	fresh := &history{kit: newKit(b), dir: h.dir, r: h.r}
	full := fresh.next()
	b.Run("first", func(b *testing.B) { h.restore(b, first) })
	b.Run("hundredth", func(b *testing.B) { h.restore(b, last) })
	b.Run("full", func(b *testing.B) { fresh.restore(b, full) })
}
