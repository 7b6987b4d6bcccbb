package group

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	keepwardv1 "keepward/api/keepward/v1"
)

var fleet = []Computer{
	{Name: "db1", Trusted: true, Tags: []string{"paris"}},
	{Name: "web1", Trusted: true},
	{Name: "WEB2", Trusted: true, Tags: []string{"paris", "web"}},
	{Name: "web3"}, // shut out
}

// told is a group in one line.
func told(m Members) string {
	var out []string
	for _, one := range m.List {
		out = append(out, one.GetComputer()+" "+one.GetBy())
	}
	return strings.Join(out, ", ") + " | " + strings.Join(m.Excluded, ", ") + " | " + strings.Join(m.Untrusted, ", ") + " | " + strings.Join(m.Warnings, ", ")
}

func TestMembersOfAGroup(t *testing.T) {
	for _, c := range []struct {
		name  string
		group *keepwardv1.Group
		names map[string][]string
		want  string
	}{
		{"by name", &keepwardv1.Group{Computers: []string{"web1", "later"}}, nil, "web1 name |  | later | "},
		{"by pattern, whatever the case", &keepwardv1.Group{Patterns: []string{"web?"}}, nil, "WEB2 pattern, web1 pattern |  | web3 | "},
		{"by tag", &keepwardv1.Group{Tags: []string{"paris"}}, nil, "WEB2 tag, db1 tag |  |  | "},
		{"by lists and tokens", &keepwardv1.Group{}, map[string][]string{ByFile: {"web1"}, ByCloud: {"web1", "vm7"}, ByToken: {"db1"}}, "db1 token, web1 file |  | vm7 | "},
		{"the first reason is said", &keepwardv1.Group{Computers: []string{"db1"}, Patterns: []string{"*"}}, nil, "WEB2 pattern, db1 name, web1 pattern |  | web3 | "},
		{"excluded, however it is named", &keepwardv1.Group{Computers: []string{"db1"}, Patterns: []string{"web*"}, Exclude: []string{"DB*", "web1"}}, nil, "WEB2 pattern | db1, web1 | web3 | "},
		{"a pattern that matches nothing", &keepwardv1.Group{Computers: []string{"db1"}, Patterns: []string{"nix*"}}, nil, `db1 name |  |  | pattern "nix*" matches no computer`},
		{"nobody", &keepwardv1.Group{Tags: []string{"rome"}}, nil, ` |  |  | no computer has the tag "rome", it has no members now`},
	} {
		if got := told(Of(c.group, c.names, fleet)); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestWhoTakesPartInAJob(t *testing.T) {
	lab := &keepwardv1.Group{Name: "lab", Patterns: []string{"web*"}}
	safe := &keepwardv1.Group{Name: "safe", Computers: []string{"db1"}, Exclude: []string{"web1"}}
	s := &Site{Groups: []*keepwardv1.Group{lab, safe}, members: map[string]Members{"lab": Of(lab, nil, fleet), "safe": Of(safe, nil, fleet)}}
	e := s.Expand(&keepwardv1.Job{Computers: []string{"WEB2", "web1"}, Groups: []string{"lab", "safe"}})
	// One group excludes web1: neither the other nor the job brings it back.
	if d := cmp.Diff([]string{"WEB2", "db1"}, e.Computers); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"web1"}, e.Excluded); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"web3"}, e.Untrusted); d != "" {
		t.Error(d)
	}
	plain := &keepwardv1.Job{Computers: []string{"web1"}}
	if list := s.WithMembers([]*keepwardv1.Job{plain}); list[0] != plain {
		t.Error("a job without groups was copied")
	}
}
