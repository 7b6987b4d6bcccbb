package source

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"keepward/internal/errs"
)

func TestPatterns(t *testing.T) {
	for _, tc := range []struct {
		patterns string // separated by blanks
		path     string
		dir      bool
		want     bool
	}{
		{"*.pyc", "usr/lib/a.pyc", false, true},
		{"*.pyc", "usr/lib/a.pyc.txt", false, false},
		{"*.pyc", "a.pyc", true, true},
		{"cache", "home/u/cache", true, true},
		{"cache", "home/u/cache", false, true},
		{"cache", "home/u/caches", false, false},
		{"cache/", "home/u/cache", false, false},
		{"cache/", "home/u/cache", true, true},
		{"/srv/tmp", "srv/tmp", true, true},
		{"/srv/tmp", "mnt/srv/tmp", true, false},
		{"srv/tmp", "mnt/srv/tmp", true, true},
		{"srv/tmp", "mnt/srv/x/tmp", true, false},
		{"/srv/*/tmp", "srv/a/tmp", true, true},
		{"/srv/*/tmp", "srv/a/b/tmp", true, false},
		{"/srv/**/tmp", "srv/a/b/tmp", true, true},
		{"/srv/**/tmp", "srv/tmp", true, true},
		{"/srv/**", "srv", true, false},
		{"/srv/**", "srv/x", false, true},
		{"/srv/**", "srv/x/y", false, true},
		{"**/a/**/b/**/c", "a/b/a/x/c", false, true},
		{"**/a/**/b/**/c", "b/a/c", false, false},
		{"*.log !keep.log", "var/keep.log", false, false},
		{"*.log !keep.log", "var/other.log", false, true},
		{"!keep.log *.log", "var/keep.log", false, true},
		{"file?", "file1", false, true},
		{"file?", "file", false, false},
		{"file?", "fileé", false, true},
		{"file?", "file\xff", false, true},
		{"[a-c]x", "bx", false, true},
		{"[!a-c]x", "bx", false, false},
		{"[^a-c]x", "dx", false, true},
		{"[]]x", "]x", false, true},
		{`[\]]x`, "]x", false, true},
		{"[a-]x", "-x", false, true},
		{`\*x`, "*x", false, true},
		{`\*x`, "ax", false, false},
		{`\!x`, "!x", false, true},
		{`\#x`, "#x", false, true},
		{"a**b", "axxb", false, true},
		{"#nothing", "#nothing", false, false},
		{"*", "anything", false, true},
		{"/*", "top", true, true},
		{"/*", "top/below", true, false},
	} {
		m, err := NewMatcher(strings.Fields(tc.patterns))
		if err != nil {
			t.Errorf("%q: %v", tc.patterns, err)
			continue
		}
		if got := m.Matches([]byte(tc.path), tc.dir); got != tc.want {
			t.Errorf("patterns %q, path %q (dir %v): excluded is %v, want %v", tc.patterns, tc.path, tc.dir, got, tc.want)
		}
	}
}

func TestBadPatternsAreRefused(t *testing.T) {
	for _, p := range []string{"[a", "[", "a[", `a\`, "/", "!", "//", "[!", `[\`} {
		if _, err := NewMatcher([]string{p}); errs.KindOf(err) != errs.Invalid {
			t.Errorf("pattern %q: error %v", p, err)
		}
	}
}

func TestTrailingBlanks(t *testing.T) {
	m, err := NewMatcher([]string{"plain  ", `kept\ `})
	if err != nil {
		t.Fatal(err)
	}
	if !m.Matches([]byte("plain"), false) || !m.Matches([]byte("kept "), false) || m.Matches([]byte("kept"), false) {
		t.Error("trailing blanks are not read as documented")
	}
}

// FuzzGlob holds the matcher against regular expressions.
func FuzzGlob(f *testing.F) {
	for _, s := range []string{"*", "a*b?c", "*.go", "**", "a*a*a*b", "?*?"} {
		f.Add(s, "aaaabc")
		f.Add(s, "x.go")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.ContainsAny(pattern, `[]\/`) || strings.Contains(name, "/") || checkGlob(pattern) != nil {
			return
		}
		if !utf8.ValidString(pattern) || !utf8.ValidString(name) {
			return // bytes and characters differ there; regexp knows characters only
		}
		var b strings.Builder
		for _, r := range pattern {
			switch r {
			case '*':
				b.WriteString(`(?s:.*)`)
			case '?':
				b.WriteString(`(?s:.)`)
			default:
				b.WriteString(regexp.QuoteMeta(string(r)))
			}
		}
		want := regexp.MustCompile(`\A` + b.String() + `\z`).MatchString(name)
		if got := globMatch([]byte(pattern), []byte(name)); got != want {
			t.Errorf("pattern %q, name %q: %v, want %v", pattern, name, got, want)
		}
	})
}

// FuzzPatterns: no pattern makes the matcher panic or run on.
func FuzzPatterns(f *testing.F) {
	f.Add("**/a/**/[!x-z]*", "a/b/c", true)
	f.Add(`!\[/`, "[", false)
	f.Fuzz(func(t *testing.T, pattern, path string, dir bool) {
		if m, err := NewMatcher([]string{pattern}); err == nil {
			m.Matches([]byte(path), dir)
		}
	})
}
