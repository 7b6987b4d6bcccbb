package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
)

// override has other include paths for a computer; nil: it says nothing.
func override(computer string, include []string) []*keepwardv1.FileOverride {
	o := &keepwardv1.FileOverride{Computer: computer}
	if include != nil {
		o.Include = &keepwardv1.TextList{Items: include}
	}
	return []*keepwardv1.FileOverride{o}
}

const overridden2 = `kind: job
name: docs
computers:
  - web1
  - web2
files:
  include:
    - /srv
  exclude:
    - '*.tmp'
  live: true
  only:
    - '*.docx'
  include_temporary: true
overrides:
  web2:
    include:
      - /srv/web2
    exclude: []
    one_file_system: true
    live: false
repository: main
`

func TestOverridesAreReadWrittenAndHold(t *testing.T) {
	docs, faults := Parse(files(overridden2))
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	j := docs[0].Job
	if f := CheckJob(j, site); len(f) > 0 {
		t.Fatal(Error(f))
	}
	text, err := Export(nil, []*keepwardv1.Job{j})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(overridden2, string(text)); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
	want := &keepwardv1.FileSelection{Include: []string{"/srv/web2"}, Only: []string{"*.docx"}, OneFileSystem: true, IncludeTemporary: true}
	if d := cmp.Diff(want, FilesOf(j, "web2"), protocmp.Transform()); d != "" {
		t.Errorf("of web2 (-want +got):\n%s", d)
	}
	if FilesOf(j, "web1") != j.GetFiles() {
		t.Error("web1 has files of its own")
	}
	if d := cmp.Diff([]string{"*.tmp"}, j.GetFiles().GetExclude()); d != "" {
		t.Errorf("the job's own have changed: %s", d)
	}
}

func TestChangedOverridesAreNamed(t *testing.T) {
	a, b := goodJob(), goodJob()
	a.Overrides = override("web1", []string{"/a"})
	b.Overrides = override("web1", []string{"/b"})
	b.Overrides[0].Exclude = &keepwardv1.TextList{}
	if d := cmp.Diff([]string{"overrides.web1.include", "overrides.web1.exclude"}, ChangedJob(a, b)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	b.Overrides = nil
	if d := cmp.Diff([]string{"overrides.web1.include"}, ChangedJob(a, b)); d != "" {
		t.Errorf("taken away (-want +got):\n%s", d)
	}
}

func TestOverridesOfComputersThatLeaveAJobGo(t *testing.T) {
	j := goodJob()
	j.Overrides = append(override("web2", []string{"/b"}), override("web1", []string{"/a"})...)
	WithoutStrangers(j)
	if len(j.Overrides) != 1 || j.Overrides[0].GetComputer() != "web1" {
		t.Errorf("left: %v", j.Overrides)
	}
	j.Overrides = override("web1", nil)
	if CompleteJob(j); j.Overrides != nil {
		t.Errorf("one that says nothing stays: %v", j.Overrides)
	}
}

// What was for a computer that leaves goes with it, and does not become everybody's.
func TestApplicationsAndCommandsOfComputersThatLeaveAJobGo(t *testing.T) {
	j := goodJob()
	j.Applications = []*keepwardv1.Application{
		{Name: "all"}, {Name: "hers", Computers: []string{"web2"}}, {Name: "both", Computers: []string{"web2", "web1"}},
	}
	j.Commands = []*keepwardv1.CommandSource{{Name: "all"}, {Name: "hers", Computers: []string{"web2"}}, {Name: "both", Computers: []string{"web1", "web2"}}}
	WithoutStrangers(j)
	if a := j.Applications; len(a) != 2 || a[0].Name != "all" || len(a[0].Computers) != 0 || !slices.Equal(a[1].Computers, []string{"web1"}) {
		t.Errorf("applications left: %v", a)
	}
	if c := j.Commands; len(c) != 2 || c[0].Name != "all" || len(c[0].Computers) != 0 || !slices.Equal(c[1].Computers, []string{"web1"}) {
		t.Errorf("commands left: %v", c)
	}
	j.Groups, j.Applications = []string{"web"}, []*keepwardv1.Application{{Computers: []string{"web2"}}}
	if WithoutStrangers(j); len(j.Applications) != 1 {
		t.Errorf("who may be in a group loses %v", j.Applications)
	}
}

func TestBadOverridesAreNamedByTheirPlace(t *testing.T) {
	text := "kind: job\nname: docs\nrepository: main\ncomputers: [web1]\nfiles: {include: [/srv]}\noverrides:\n"
	for bad, want := range map[string]string{
		"  - web1\n": "overrides must be names of computers with fields",
		"  web1: {include: [/a]}\n  web1: {include: [/b]}\n": "computer web1 stands twice",
		"  web1: {inclde: [/a]}\n":                           "there is no field overrides.web1.inclde; did you mean include",
		"  web1: /a\n":                                       "overrides.web1 must be fields with values",
		"  web1: {live: maybe}\n":                            "overrides.web1.live must be true or false",
	} {
		_, faults := Parse(files(text + bad))
		if len(faults) == 0 || !strings.Contains(faults[0].Text, want) {
			t.Errorf("%q: %v, want %q", bad, faults, want)
		}
	}
}
