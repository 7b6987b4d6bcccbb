package test

import (
	"path/filepath"
	"testing"

	"keepward/test/site"
)

// A second computer with the same data stores nearly nothing, and its point stands
// on its own feet: it restores after the first computer is removed.
func TestSecondComputerWithTheSameData(t *testing.T) {
	f := newFleet(t, "web1", "web2")
	src := filepath.Join(tempDir(t), "src")
	f.must(site.RandomTree(src, 3000, 120<<20, 3))
	f.createJob("one", "web1", []string{src})
	f.createJob("two", "web2", []string{src})

	first := f.run("one").GetProgress().GetCounters()
	second := f.run("two").GetProgress().GetCounters()
	t.Logf("first stored %d bytes, second %d", first.StoredBytes, second.StoredBytes)
	if first.StoredBytes < 115<<20 {
		t.Errorf("the first backup of 120 MiB of noise stored %d bytes", first.StoredBytes)
	}
	if second.StoredBytes*50 >= first.StoredBytes {
		t.Errorf("the second backup stored %d bytes, 2 %% of the first are %d", second.StoredBytes, first.StoredBytes/50)
	}
	f.do("computer", "remove", "web1")
	same(t, src, below(f.restore("web2", "latest"), src))
	f.check()
}
