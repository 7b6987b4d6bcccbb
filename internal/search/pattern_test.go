package search

import (
	"regexp"
	"strings"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// compile is what a search asks of a Pattern, in one function.
func compile(glob string) (func(path []byte) bool, error) {
	p, err := Compile(glob)
	if err != nil {
		return nil, err
	}
	q := &Query{Pattern: p}
	return func(path []byte) bool {
		dir, name := splitPath(path)
		n := &names{text: append([]byte{'/'}, name...), dirs: []inDir{{0, string(dir)}}, types: []fileindex.Type{fileindex.File}, sizes: []int64{0}, mtimes: []int64{0}}
		n.ends = []uint32{uint32(len(n.text))}
		n.text = append(n.text, '/')
		return len(n.search(q, nil)) == 1
	}, nil
}

func TestGlobsMatchNamesAndPaths(t *testing.T) {
	tests := []struct {
		glob string
		yes  []string
		no   []string
	}{
		{"*.txt", []string{"a.txt", "srv/b/c.txt", ".txt"}, []string{"a.txt/b", "atxt", "a.txt2"}},
		{"a?c", []string{"abc", "x/aéc"}, []string{"ac", "abbc"}},
		{"[a-c]1", []string{"a1", "x/c1"}, []string{"d1", "a12"}},
		{"[!a-c]1", []string{"d1"}, []string{"a1"}},
		{`a\*b`, []string{"a*b"}, []string{"axb"}},
		{"/etc/*.conf", []string{"etc/x.conf"}, []string{"etc/y/x.conf", "usr/etc/x.conf"}},
		{"etc/*", []string{"etc/x"}, []string{"usr/etc/x", "etc/x/y", "etc"}},
		{"srv/**/c", []string{"srv/c", "srv/a/c", "srv/a/b/c"}, []string{"srvc", "srv/ac"}},
		{"srv/**", []string{"srv/a", "srv/a/b"}, []string{"srv", "x/srv/a"}},
		{"**/name", []string{"name", "a/b/name"}, []string{"a/surname"}},
		{"größe*", []string{"größe.txt"}, []string{"grosse"}},
		{"a+(b|c)$.x", []string{"a+(b|c)$.x"}, []string{"aab"}},
		{"*", []string{"a\nb", "\xff\xfe"}, nil},
	}
	for _, tt := range tests {
		match, err := compile(tt.glob)
		if err != nil {
			t.Errorf("%q: %v", tt.glob, err)
			continue
		}
		for _, p := range tt.yes {
			if !match([]byte(p)) {
				t.Errorf("%q does not match %q", tt.glob, p)
			}
		}
		for _, p := range tt.no {
			if match([]byte(p)) {
				t.Errorf("%q matches %q", tt.glob, p)
			}
		}
	}
	for _, bad := range []string{"/", "[a", "[]", `a\`, "[z-a]"} {
		if _, err := Compile(bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// All the short cuts of a Pattern find what its regular expression finds.
func FuzzGlob(f *testing.F) {
	f.Add("a[!b-c]*?/**/d\\e", "ab/c/de")
	f.Add("\xff", "\xff")
	f.Add("*a?b*", "xayba")
	f.Add("srv/**/x*", "srv/xx")
	f.Add("**", "a/b")
	f.Fuzz(func(t *testing.T, glob, path string) {
		path = strings.Trim(path, "/")
		match, err := compile(glob)
		if err != nil || glob == "" {
			return
		}
		re := regexp.MustCompile(`(?s)\A` + globPattern(strings.TrimPrefix(glob, "/")) + `\z`)
		held := path
		if !strings.Contains(glob, "/") {
			held = path[strings.LastIndexByte(path, '/')+1:]
		}
		if got, want := match([]byte(path)), re.MatchString(held); got != want && strings.Trim(glob, "/*") != "" {
			t.Errorf("%q and %q: %t, the regular expression says %t", glob, path, got, want)
		}
	})
}
