package test

import (
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/treegen"
	"keepward/test/site"
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
	meter := site.StartMeter(func() []int {
		pids := []int{f.agent["web1"].Pid()}
		for _, m := range site.Movers(f.store) {
			pids = append(pids, m.Pid)
		}
		return pids
	})
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
	var agent, mover int64
	for pid, u := range meter.Stop() {
		if pid == f.agent["web1"].Pid() {
			agent = u.Peak
		} else {
			mover = max(mover, u.Peak)
		}
	}
	t.Logf("%d files: peak memory of the agent %d MiB, of a mover %d MiB", n, agent>>20, mover>>20)
	if agent > memoryLimit || mover > memoryLimit {
		t.Errorf("the agent took %d MiB, a mover %d MiB; at most %d each", agent>>20, mover>>20, memoryLimit>>20)
	}
	if mover == 0 {
		t.Error("no mover was measured")
	}
}
