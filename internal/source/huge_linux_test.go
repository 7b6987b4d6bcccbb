package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// walked is what a walk yields that keeps no more than most names in memory.
func walked(t *testing.T, sel Selection, most int, scratch string) (names []string, problems []string, excluded int64) {
	t.Helper()
	w, err := NewWalker(sel, func(p Problem) { problems = append(problems, p.Code+" "+string(p.Path)) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.most = most
	w.SpillTo(scratch)
	for {
		it, err := w.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return names, problems, w.Excluded()
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%s type %d state %d size %d", it.Path, it.Stat.Type, it.State, it.Stat.Size))
	}
}

func TestHugeDirectoriesAreWalkedLikeOthers(t *testing.T) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("huge/%d", i*7919%2000))
	}
	for i := range 30 {
		names = append(names, fmt.Sprintf("huge/sub%d/file", i), fmt.Sprintf("huge/%d.tmp", i), fmt.Sprintf("tagged/%d", i), fmt.Sprintf("gone/%d.tmp", i))
	}
	dir := tree(t, names...)
	if err := os.WriteFile(filepath.Join(dir, "tagged", cacheTag), []byte(cacheSignature), 0o644); err != nil {
		t.Fatal(err)
	}
	sel := Selection{Include: []string{dir}, Exclude: []string{"*.tmp"}}
	want, _, excluded := walked(t, sel, hugeNames, "")
	for _, most := range []int{1, 7, 500, 1999} {
		scratch := t.TempDir()
		got, problems, left := walked(t, sel, most, scratch)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("with %d names in memory: %s", most, d)
		}
		if left != excluded || len(problems) > 0 {
			t.Errorf("with %d names in memory %d are left out, want %d; problems: %v", most, left, excluded, problems)
		}
		if files, err := os.ReadDir(scratch); err != nil || len(files) > 0 {
			t.Errorf("left behind: %v, %v", files, err)
		}
	}
}

func TestHugeDirectoryWithoutRoomOnDiskIsTold(t *testing.T) {
	dir := tree(t, "d/a", "d/b", "d/c", "e")
	names, problems, _ := walked(t, Selection{Include: []string{dir}}, 3, filepath.Join(dir, "missing"))
	if want := []string{"dir.unreadable " + dir[1:] + "/d"}; cmp.Diff(want, problems) != "" {
		t.Errorf("problems: %v, want %v", problems, want)
	}
	if last := names[len(names)-1]; !strings.HasPrefix(last, dir[1:]+"/e ") {
		t.Errorf("the walk ends at %q", last)
	}
}
