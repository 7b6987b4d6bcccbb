package config

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestCloudMachinesAreOnlyInJobsOfTheServer(t *testing.T) {
	cloud := &keepwardv1.Group{Name: "cloud", Url: "https://x/"}
	site := Site{Computers: []string{"vm1", "web1"}, Repositories: []string{"main"}, Groups: []*keepwardv1.Group{cloud, {Name: "lab"}}, Cloud: map[string]string{"vm1": "cloud"}}
	for _, c := range []struct {
		mode      string
		computers []string
		groups    []string
		field     string
	}{
		{"server", []string{"vm1"}, []string{"cloud"}, ""},
		{"agent", []string{"web1"}, []string{"lab"}, ""},
		{"agent", []string{"web1"}, []string{"lab", "cloud"}, "groups[1]"},
		{"agent", []string{"web1", "vm1"}, nil, "computers[1]"},
	} {
		j := &keepwardv1.Job{Name: "j", Mode: c.mode, Computers: c.computers, Groups: c.groups, Repository: "main", Files: &keepwardv1.FileSelection{Include: []string{"/srv"}}}
		CompleteJob(j)
		got := ""
		for _, f := range CheckJob(j, site) {
			if f.Err.Code == "job.cloud-mode" {
				got += f.Field
			}
		}
		if got != c.field {
			t.Errorf("mode %s, computers %v, groups %v: refused at %q", c.mode, c.computers, c.groups, got)
		}
	}
	// Nor does a group become one of cloud machines under such a job.
	j := &keepwardv1.Job{Name: "j", Mode: "agent", Groups: []string{"cloud"}}
	if f := ModeConflicts(cloud, []*keepwardv1.Job{j}); len(f) != 1 || f[0].Field != "url" {
		t.Errorf("%v", f)
	}
}

func TestAJobOfGroupsMayHaveFilesForAnyComputer(t *testing.T) {
	live := true
	j := &keepwardv1.Job{
		Name: "j", Groups: []string{"lab"}, Repository: "main", Files: &keepwardv1.FileSelection{Include: []string{"/srv"}},
		Overrides: []*keepwardv1.FileOverride{{Computer: "web1", Live: &live}},
	}
	CompleteJob(j)
	WithoutStrangers(j)
	if f := CheckJob(j, Site{Repositories: []string{"main"}, Groups: []*keepwardv1.Group{{Name: "lab"}}}); len(f) != 0 {
		t.Errorf("%v", f)
	}
	if len(j.Overrides) != 1 || !FilesOf(j, "web1").Live {
		t.Errorf("%v", j.Overrides)
	}
}
