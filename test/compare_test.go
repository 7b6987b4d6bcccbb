package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keepward/internal/treecmp"
	"keepward/test/site"
)

// same fails unless rsync and our own comparer find no difference between a tree
// and its restored copy, apart from files of the excluded globs. rsync is a second
// opinion; our own reaches further: paths beyond PATH_MAX, file flags, holes, sockets.
func same(t testing.TB, want, got string, excludes ...string) {
	t.Helper()
	treeSame(t, want, got, excludes...)
	diff, err := site.RsyncDiff(want, got, excludes...)
	if err != nil {
		t.Fatal(err)
	}
	if diff != "" {
		t.Fatalf("rsync finds differences between %s and %s:\n%s", want, got, firstLines(diff))
	}
}

// treeSame asks our own comparer alone: for trees that rsync cannot walk.
func treeSame(t testing.TB, want, got string, excludes ...string) {
	t.Helper()
	o := treecmp.Options{Ignore: excludes, IgnoreOwner: os.Geteuid() != 0}
	var lines []string
	res, err := treecmp.Each(want, got, o, func(line string) { lines = append(lines, line) })
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) > 0 || res.Differences > 0 {
		t.Fatalf("%d differences between %s and %s:\n%s", res.Differences, want, got, firstLines(strings.Join(lines, "\n")))
	}
	if res.Entries < 2 {
		t.Fatalf("%s has %d entries: nothing was compared", want, res.Entries)
	}
}

// below is where a restore to dir lays a path.
func below(dir, path string) string { return filepath.Join(dir, path) }

func firstLines(s string) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[:min(len(lines), 20)], "\n")
}
