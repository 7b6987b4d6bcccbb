package test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

// Names that would break a terminal or a line-based script: safe in tables, exact
// in JSON, exact when restored.
func TestNamesThatAreNotText(t *testing.T) {
	f := newFleet(t, "web1")
	src := filepath.Join(tempDir(t), "src")
	f.must(os.MkdirAll(src, 0o755))
	names := []string{
		"new\nline", "escape\x1b[31mred", "bell\a\b\t\x7f", "not utf-8 \xff\xfe\x80", strings.Repeat("n", 255),
		" leading", "trailing ", "-rf", "*?[", "right\u202eto left", "ünï", "quote\"'`$", `back\slash`,
	}
	for i, n := range names {
		f.must(os.WriteFile(filepath.Join(src, n), []byte(strconv.Itoa(i)), 0o644))
	}
	f.createJob("docs", "web1", []string{src})
	f.run("docs")
	same(t, src, below(f.restore("web1", "latest"), src))

	table := f.do("point", "browse", "latest", src, "--computer", "web1").Stdout
	for i, b := range []byte(table) {
		if b < 0x20 && b != '\n' || b == 0x7f {
			t.Fatalf("the table has the byte %#x: %q", b, table[max(0, i-20):i+1])
		}
	}
	if strings.Contains(table, "\u202e") {
		t.Error("the table has a character that turns the writing")
	}
	if rows := strings.Count(table, "\n"); rows > len(names)+1 {
		t.Errorf("%d lines for %d names: a newline in a name made a line", rows, len(names))
	}

	var got keepwardv1.BrowseResponse
	f.must(f.Message(&got, "point", "browse", "latest", src, "--computer", "web1"))
	exact := map[string]bool{}
	for _, e := range got.Entries {
		exact[filepath.Base(string(e.Path))] = true
	}
	for _, n := range names {
		if !exact[n] {
			t.Errorf("%q is not exact in JSON", n)
		}
	}
	found := f.do("point", "find", "*not utf-8*", "--computer", "web1").Stdout
	if !strings.Contains(found, "not utf-8") {
		t.Errorf("find does not find the name: %q", found)
	}
}
