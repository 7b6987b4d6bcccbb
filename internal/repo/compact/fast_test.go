package compact

import (
	"testing"

	"keepward/internal/repo/repotest"
)

func TestPacksThatWereCompressedFastAreSeen(t *testing.T) {
	l := newLab(t)
	any := func() bool {
		t.Helper()
		found, err := AnyFast(t.Context(), l.open())
		must(t, err)
		return found
	}
	if any() {
		t.Fatal("an empty repository")
	}
	l.backup(1, "db1", repotest.Files(20, 2500, 2)) // does not shrink
	if any() {
		t.Fatal("nothing was compressed")
	}
	l.backup(2, "web1", words(20, 1)) // the kit's level is fast
	if !any() {
		t.Fatal("a pack of S2 is not seen")
	}
	result, err := l.compact(func(o *Options) { o.Recompress = l.recompression() })
	must(t, err)
	l.remove(result.Condemn)
	if any() {
		t.Fatal("all was made dense")
	}
}
