package source

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// changes is a Changed of a list.
type changes []Change

func (c *changes) Next() (Change, error) {
	if len(*c) == 0 {
		return Change{}, io.EOF
	}
	first := (*c)[0]
	*c = (*c)[1:]
	return first, nil
}

// followed is what a walk by changes yields below dir; doubt names what is doubted.
func followed(t *testing.T, dir string, sel Selection, most int, doubt string, list ...Change) (got []string) {
	t.Helper()
	if sel.Include == nil {
		sel.Include = []string{dir}
	}
	list = slices.Clone(list)
	for i := range list {
		list[i].Path = []byte(strings.TrimSuffix(strings.TrimPrefix(dir+"/"+string(list[i].Path), "/"), "/"))
	}
	w, err := NewWalker(sel, func(p Problem) { got = append(got, p.Code) })
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.most = most
	w.Follow((*changes)(&list))
	short := func(path []byte) string { return strings.TrimPrefix("/"+string(path), dir) }
	doubted := false
	for {
		it, err := w.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if it.Kept != nil {
			to := "end"
			if it.Kept.To != nil {
				to = short(fileindex.KeyPath(it.Kept.To))
			}
			got = append(got, fmt.Sprintf("keep %q to %q", short(fileindex.KeyPath(it.Kept.From)), to))
			continue
		}
		if !strings.HasPrefix("/"+string(it.Path), dir) {
			continue // above
		}
		line := short(it.Path)
		for _, flag := range []struct {
			set  bool
			name string
		}{{it.Clean, "clean"}, {it.Partly, "partly"}, {it.Unsure, "unsure"}} {
			if flag.set {
				line += " " + flag.name
			}
		}
		got = append(got, line)
		if (it.Clean || it.Partly) && !doubted && doubt != "" && short(it.Path) == doubt {
			doubted = true
			w.Doubt()
		}
	}
}

func TestAWalkByChangesLooksNowhereElse(t *testing.T) {
	dir := tree(t, "a/1", "a/2", "a/3", "b/c/d/e", "b/c/x", "b/z", "l/1", "l/2", "l/s/t", "o.tmp", "q")
	// A directory that is not told of must not be touched.
	if err := os.Chmod(filepath.Join(dir, "b/c/d"), 0); err != nil {
		t.Fatal(err)
	}
	at := func(path string) Change { return Change{Path: []byte(path)} }
	sel := Selection{Exclude: []string{"*.tmp"}}
	for name, c := range map[string]struct {
		list  []Change
		doubt string
		want  []string
	}{
		"nothing": {want: []string{" clean"}},
		"a file": {
			list: []Change{at("a/2")},
			want: []string{
				" partly", `keep "/" to "/a"`, "/a partly", `keep "/a/" to "/a/2"`, "/a/2", `keep "/a/2\x01" to "/a\x01"`, `keep "/a\x01" to "\x01"`,
			},
		},
		"files that are gone, excluded, unsure": {
			list: []Change{at("a/gone"), at("o.tmp"), {Path: []byte("q"), Unsure: true}, at("r/gone/too")},
			want: []string{
				" partly", `keep "/" to "/a"`, "/a partly", `keep "/a/" to "/a/gone"`, `keep "/a/gone\x01" to "/a\x01"`, `keep "/a\x01" to "/o.tmp"`,
				`keep "/o.tmp\x01" to "/q"`, "/q unsure", `keep "/q\x01" to "/r"`, `keep "/r\x01" to "\x01"`,
			},
		},
		"a listing": {
			list: []Change{{Path: []byte("l"), Listing: true}, at("l/0"), at("l/2"), at("l/9")},
			want: []string{
				" partly", `keep "/" to "/l"`, "/l partly", "/l/1 clean", "/l/2", "/l/s clean", `keep "/l\x01" to "\x01"`,
			},
		},
		"a subtree": {
			list: []Change{{Path: []byte("l"), Subtree: true}, at("l/s/t"), at("m")},
			want: []string{" partly", `keep "/" to "/l"`, "/l", "/l/1", "/l/2", "/l/s", "/l/s/t", `keep "/l\x01" to "/m"`, `keep "/m\x01" to "\x01"`},
		},
		"a doubt about a directory that did not change": {
			list:  []Change{{Path: []byte("l"), Listing: true}},
			doubt: "/l/s",
			want: []string{
				" partly", `keep "/" to "/l"`, "/l partly", "/l/1 clean", "/l/2 clean", "/l/s clean", "/l/s", "/l/s/t", `keep "/l\x01" to "\x01"`,
			},
		},
		"a doubt about one on the way": {
			list:  []Change{at("l/s/t"), at("q")},
			doubt: "/l",
			want: []string{
				" partly", `keep "/" to "/l"`, "/l partly", "/l/1", "/l/2", "/l/s", "/l/s/t", `keep "/l\x01" to "/q"`, "/q", `keep "/q\x01" to "\x01"`,
			},
		},
	} {
		for _, most := range []int{hugeNames, 1} { // names in memory, names on disk
			if d := cmp.Diff(c.want, followed(t, dir, sel, most, c.doubt, c.list...)); d != "" {
				t.Errorf("%s, %d names in memory (-want +got):\n%s", name, most, d)
			}
		}
	}
}

func TestChangesThatAreNotInOrderEndTheWalk(t *testing.T) {
	dir := tree(t, "a/1", "a-b", "b")
	w, err := NewWalker(Selection{Include: []string{dir}}, func(Problem) {})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	path := func(name string) Change { return Change{Path: []byte(dir[1:] + name)} }
	w.Follow(&changes{path("/a-b"), path("/a/1")}) // by their bytes, not by components
	for {
		if _, err = w.Next(t.Context()); err != nil {
			break
		}
	}
	if errs.KindOf(err) != errs.Internal {
		t.Errorf("it ended with %v", err)
	}
}

// Our own snapshots are left out, also where a tracker names what lies in them.
func TestAWalkByChangesLeavesOutWhatIsHidden(t *testing.T) {
	dir := tree(t, "a", "ours/junk")
	sel := Selection{View: &View{Hidden: []string{dir + "/ours"}}}
	want := []string{" partly", `keep "/" to "/a"`, "/a", `keep "/a\x01" to "/ours"`, `keep "/ours\x01" to "\x01"`}
	got := followed(t, dir, sel, hugeNames, "", Change{Path: []byte("a")}, Change{Path: []byte("ours"), Subtree: true}, Change{Path: []byte("ours/junk")})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
