package opener

import (
	"strings"
	"testing"

	"keepward/internal/repo/fileindex"
)

// An index comes from a computer that may have been taken over: what it says of names is not believed.
func TestTricksWithPathsAreLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		format string
		root   string
		before []string // folders
		path   string
		out    bool
	}{
		"a file in the folder":               {"tar", "srv/docs", []string{"srv/docs"}, "srv/docs/a", false},
		"deeper":                             {"tar", "srv/docs", []string{"srv/docs", "srv/docs/b"}, "srv/docs/b/a", false},
		"behind a deeper one":                {"tar", "srv/docs", []string{"srv/docs", "srv/docs/b", "srv/docs/b/c"}, "srv/docs/x", false},
		"the folder itself":                  {"tar", "srv/docs", nil, "srv/docs", false},
		"a computer's root":                  {"tar", "", nil, "", false},
		"in the root":                        {"tar", "", []string{""}, "etc", false},
		"up":                                 {"tar", "srv", []string{"srv"}, "srv/../../etc/passwd", true},
		"up in the middle":                   {"tar", "srv", []string{"srv", "srv/a"}, "srv/a/../../x", true},
		"a dot":                              {"tar", "srv", []string{"srv"}, "srv/./x", true},
		"an empty part":                      {"tar", "srv", []string{"srv"}, "srv//x", true},
		"a zero byte":                        {"tar", "srv", []string{"srv"}, "srv/a\x00b", true},
		"below what is no folder":            {"tar", "srv", []string{"srv"}, "srv/link/passwd", true},
		"below a folder that is over":        {"tar", "srv", []string{"srv", "srv/a", "srv/b"}, "srv/a/x", true},
		"a name that begins like its folder": {"tar", "srv", []string{"srv", "srv/a"}, "srv/ab/x", true},
		"a backslash in zip":                 {"zip", "srv", []string{"srv"}, `srv/..\..\x`, true},
		"a backslash in tar":                 {"tar", "srv", []string{"srv"}, `srv/..\..\x`, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := &builder{p: formats[c.format](&strings.Builder{}), root: []byte(c.root), top: "top"}
			for _, f := range c.before {
				e := &fileindex.Entry{Path: []byte(f), Type: fileindex.Dir}
				if err := b.entry(e, false); err != nil || len(b.left) > 0 {
					t.Fatalf("folder %q: %v, %v", f, err, b.left)
				}
			}
			e := &fileindex.Entry{Path: []byte(c.path), Type: fileindex.Symlink, Target: []byte("x")}
			if err := b.entry(e, false); err != nil || (len(b.left) > 0) != c.out {
				t.Errorf("left out is %v (%v), want %t", b.left, err, c.out)
			}
		})
	}
}

func TestTheRootOfAComputerHasANameThatIsOne(t *testing.T) {
	for name, want := range map[string]string{"web1": "web1", "": "computer", "..": "computer", "../../etc": ".._.._etc", `a\b:c`: "a_b_c", "a\nb": "a_b"} {
		if got := rootName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}

func TestTheListOfWhatIsLeftOutIsBounded(t *testing.T) {
	b := &builder{}
	for range leftOutMost + 7 {
		b.leave("x", "y")
	}
	if len(b.left) != leftOutMost || b.more != 7 {
		t.Errorf("it has %d, and says %d more", len(b.left), b.more)
	}
}
