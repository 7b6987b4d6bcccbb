package test

import (
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/treegen"
)

// memoryLimit is what the agent and the mover may each take, for any number of files.
const memoryLimit = 256 << 20

// Memory does not grow with the number of files. 100 000 here; TestMillionSmallFiles
// and make bench take ten times as many.
func TestHundredThousandSmallFiles(t *testing.T) { manySmallFiles(t, 100_000) }

func TestMillionSmallFiles(t *testing.T) {
	if os.Getenv("KEEPWARD_MILLION") == "" {
		leaveOut(t, "takes minutes: set KEEPWARD_MILLION=1, or see make bench")
	}
	manySmallFiles(t, 1_000_000)
}

func manySmallFiles(t *testing.T, n int) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(treegen.Small(src, n))
	f.createJob("docs", "web1", []string{src})
	for _, run := range []string{"full", "unchanged"} {
		s := f.run("docs")
		c := s.GetProgress().GetCounters()
		if c.DoneFiles < int64(n) {
			t.Errorf("%s: %d entries done of %d", run, c.DoneFiles, n)
		}
		if run == "unchanged" && (c.ReadFiles != 0 || c.StoredBytes > 1<<20) {
			t.Errorf("unchanged: %d files read, %d bytes stored", c.ReadFiles, c.StoredBytes)
		}
	}
	same(t, src, below(f.restore("web1", "latest"), src))
	f.must(f.Close())
	_, agent := f.agent["web1"].Usage()
	_, store := f.store.Usage()
	t.Logf("%d files: peak memory of the agent %d MiB, of the transport %d MiB", n, agent>>20, store>>20)
	if agent > memoryLimit {
		t.Errorf("the agent took %d MiB, at most %d", agent>>20, memoryLimit>>20)
	}
}
