package extract

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keepward/internal/pipeline"
	"keepward/internal/repo"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/source"
)

// told is a tracker that is told what changed.
type told []string

func (c *told) Next() (source.Change, error) {
	if len(*c) == 0 {
		return source.Change{}, io.EOF
	}
	path := (*c)[0]
	*c = (*c)[1:]
	return source.Change{Path: []byte(path[1:])}, nil
}

// narrowed makes the next point out of parent's, with the files in changed looked at; nil: all are.
func (k *kit) narrowed(dir, parent string, changed []string) (string, pipeline.Result) {
	k.t.Helper()
	id := k.r.Config().ID
	k.count++
	attempt := point.Attempt{0xab, 0xce, k.count}
	issue, err := point.SealIssue(k.master.IssueKey(), id, attempt, point.Issue{Computer: "web1", Job: "docs", Session: int64(k.count), Time: epoch})
	must(k.t, err)
	keys := k.master.TaskKeys(id, "web1")
	w, err := k.r.NewWriter(context.Background(), repo.WriterOptions{Attempt: attempt, Owner: k.master.ComputersKey().Owner("web1"), Keys: keys})
	must(k.t, err)
	opts := pipeline.Options{Attempt: attempt, Keys: keys, Parent: parent, Selection: source.Selection{Include: []string{dir}}}
	if changed != nil {
		opts.Changed = func(context.Context, *pipeline.Before) (source.Changed, error) {
			list := slices.Clone(changed)
			slices.SortFunc(list, func(a, b string) int { return fileindex.ComparePaths([]byte(a), []byte(b)) })
			return (*told)(&list), nil
		}
	}
	res, err := pipeline.Run(k.t.Context(), mover{w, k.r, issue}, opts)
	must(k.t, err)
	if res.Narrowed != (changed != nil) {
		k.t.Errorf("narrowed: %t", res.Narrowed)
	}
	return attempt.String(), res
}

func manyFiles(t testing.TB, dir string, n int) (name func(i int) string) {
	name = func(i int) string { return fmt.Sprintf("%s/%03d/%03d/f%07d", dir, i/100_000, i/100%1000, i) }
	for i := range n {
		if i%100 == 0 {
			must(t, os.MkdirAll(filepath.Dir(name(i)), 0o755))
		}
		must(t, os.WriteFile(name(i), nil, 0o644))
	}
	return name
}

func TestWhatWasTakenOverComesBack(t *testing.T) {
	src := tempDir(t)
	name := manyFiles(t, src, 3000)
	must(t, os.Link(name(7), name(1007)+".link"))
	k := newKit(t)
	parent, _ := k.narrowed(src, "", nil)
	for round := range 3 {
		var changed []string
		for i := range 5 {
			file := name(i*599 + round)
			must(t, os.WriteFile(file, fmt.Appendf(nil, "%d in round %d", i, round), 0o644))
			changed = append(changed, file)
		}
		parent, _ = k.narrowed(src, parent, changed)
	}
	to := tempDir(t)
	_, _, err := Run(t.Context(), k.options(parent, src, to))
	must(t, err)
	same(t, src, to)
}

// BenchmarkNarrowed is a backup into a repository on a directory, from the open marker to the
// committed point, of which a tracker tells that k files have changed among n: KEEPWARD_BENCH_FILES
// are the numbers of files, 20000 if nothing is said.
func BenchmarkNarrowed(b *testing.B) {
	sizes := os.Getenv("KEEPWARD_BENCH_FILES")
	if sizes == "" {
		sizes = "20000"
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		must(b, err)
		src := tempDir(b)
		name := manyFiles(b, src, n)
		k := newKit(b)
		parent, _ := k.narrowed(src, "", nil)
		r := rand.New(rand.NewPCG(1, 1))
		for _, changes := range []int{0, 1000} {
			b.Run(fmt.Sprintf("n=%d/k=%d", n, changes), func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					changed := []string{}
					for _, i := range r.Perm(n)[:changes] {
						must(b, os.WriteFile(name(i), strconv.AppendInt(nil, r.Int64(), 10), 0o644))
						changed = append(changed, name(i))
					}
					b.StartTimer()
					parent, _ = k.narrowed(src, parent, changed)
				}
			})
		}
	}
}
