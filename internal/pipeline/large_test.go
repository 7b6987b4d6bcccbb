package pipeline

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/chunk"
	"keepward/internal/repo/fileindex"
)

// Together the readers could hold all the memory, each wanting one buffer more.
func TestManyLargeFilesShareTheMemory(t *testing.T) {
	s := newSite(t)
	content := noise(1, 20<<20)
	for i := range 9 {
		content[0] = byte(i)
		s.write(fmt.Sprintf("f%d", i), content)
	}
	s.opts.Workers = maxWorkers
	_, res := s.backup("")
	s.same(res)
}

// A file is read in steps, and runs of zeros that a step divides are seen in part first.
func TestWhereAFileIsCutDoesNotDependOnTheStepsOfReading(t *testing.T) {
	const block = len(zeroBlock)
	s := newSite(t)
	content := noise(1, 10<<20+123)
	for _, run := range [][2]int{
		{readStep - 8*block, 16 * block},           // just long enough, half in the next step
		{3*readStep - 15*block, 15 * block},        // too short
		{5*readStep - block - 100, 17*block + 100}, // begins within a block
		{8*readStep - block, 2*readStep + 2*block}, // a whole step and more
		{12 * readStep, 40 * block},
		{10<<20 - 20*block, 20*block + 123}, // to the end
	} {
		clear(content[run[0] : run[0]+run[1]])
	}
	s.write("file", content)
	_, res := s.backup("")
	s.same(res)
	var got []int64
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	err := fileindex.ForEachExtent(t.Context(), f, s.tree(res)["file"], func(_ int64, x fileindex.Extent) error {
		got = append(got, x.Len)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cutWhole(chunk.New(s.opts.Keys.ChunkerKey), content), got); diff != "" {
		t.Errorf("extents (-of the whole +as read):\n%s", diff)
	}
}

// cutWhole are the lengths of the extents of a file that lies in memory.
func cutWhole(c *chunk.Chunker, content []byte) []int64 {
	var out []int64
	zeros := func(at int) int {
		n := at
		for n < len(content) && allZero(content[n:min(n+len(zeroBlock), len(content))]) {
			n = min(n+len(zeroBlock), len(content))
		}
		return n - at
	}
	for at := 0; at < len(content); {
		end := at
		for end < len(content) && zeros(end) < minZeros {
			end = min(end+len(zeroBlock), len(content))
		}
		for at < end {
			n := c.Cut(content[at:end])
			out, at = append(out, int64(n)), at+n
		}
		if n := zeros(at); n > 0 {
			out, at = append(out, int64(n)), at+n
		}
	}
	return out
}
