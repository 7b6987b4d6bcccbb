package pipeline

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A backup says what its rules left out, and warns where they left nothing.
func TestRulesThatLeaveNothingAreWarnedOf(t *testing.T) {
	for name, c := range map[string]struct {
		only, exclude []string
		want          []string
		say           string
	}{
		"some is left":               {exclude: []string{"*.tmp"}, want: []string{"info selection.left-out /"}, say: "1 by the pattern *.tmp"},
		"masks that nothing matches": {only: []string{"*.docx"}, want: []string{"info selection.left-out /", "warning selection.empty /"}, say: "2 by the masks *.docx"},
		"excludes that leave nothing": {
			exclude: []string{"*.tmp", "*.txt"}, want: []string{"info selection.left-out /", "warning selection.empty /"}, say: "1 by the pattern *.tmp, 1 by the pattern *.txt",
		},
		"nothing is left out": {},
	} {
		s := newSite(t)
		s.write("d/a.txt", []byte("a"))
		s.write("d/b.tmp", []byte("b"))
		s.opts.Selection.Only, s.opts.Selection.Exclude = c.only, c.exclude
		_, _, err := s.run("")
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, s.codes()); d != "" {
			t.Errorf("%s: events (-want +got):\n%s", name, d)
		}
		for _, e := range s.events {
			if !strings.Contains(e.Text, c.say) {
				t.Errorf("%s: %q does not say %q", name, e.Text, c.say)
			}
		}
	}
	s := newSite(t)
	if err := os.Mkdir(s.path("empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.run("")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"warning selection.empty /"}, s.codes()); d != "" {
		t.Errorf("an empty directory: events (-want +got):\n%s", d)
	}
}

// What is taken is part of what a backup goes by when it is told what changed.
func TestSelectionsAreToldApart(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(s *site){
		"plain": func(*site) {}, "masks": func(s *site) { s.opts.Selection.Only = []string{"*.a"} },
		"excludes": func(s *site) { s.opts.Selection.Exclude = []string{"*.a"} },
		"all":      func(s *site) { s.opts.Selection.IncludeTemporary = true },
		"own":      func(s *site) { s.opts.Selection.Own = []string{"/var/lib/own"} },
		"caches":   func(s *site) { s.opts.Selection.IncludeCaches = true },
		"one":      func(s *site) { s.opts.Selection.OneFileSystem = true },
	} {
		s := newSite(t)
		s.opts.Selection.Include = []string{"/srv"}
		change(s)
		f, err := s.opts.Selection.Filter()
		if err != nil {
			t.Fatal(err)
		}
		print := string(fingerprint(&s.opts.Selection, f, false))
		if other, ok := seen[print]; ok {
			t.Errorf("%s is taken for %s", name, other)
		}
		seen[print] = name
	}
}
