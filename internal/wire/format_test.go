package wire

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The format page is what a stranger writes the other end from.
func TestTheFormatPageListsTheFramesAsTheyAre(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Name  string
		Limit int
	}
	row1 := regexp.MustCompile(`(?m)^\| (\d+) \| (\w+) \| (?:agent|mover|either) \|.*\| ([^|]+) \|$`)
	got := map[int]row{}
	for _, m := range row1.FindAllStringSubmatch(string(page), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		got[n] = row{m[2], bytesOf(t, m[3])}
	}
	want := map[int]row{}
	for k, f := range frames {
		want[int(k)] = row{f.name, f.limit}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/formats/wire.md (+) is not what the code does (-):\n%s", diff)
	}
}

// bytesOf reads a length as people write it.
func bytesOf(t *testing.T, text string) int {
	t.Helper()
	for suffix, unit := range map[string]int{" hashes": 32, " ids": 32, " MiB": 1 << 20, " KiB": 1 << 10, "": 1} {
		n, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSuffix(text, suffix), " ", ""))
		if err == nil && strings.HasSuffix(text, suffix) {
			return n * unit
		}
	}
	t.Fatalf("%q is no length", text)
	return 0
}
