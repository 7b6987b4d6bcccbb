package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
)

const applicationsYAML = `kind: job
name: db
computers: [db1, db2]
repository: main
applications:
  - kind: postgresql
    credential: pg
    settings:
      log: none
  - kind: postgresql
    name: other
    mode: try
    address: 127.0.0.1:5433
    computers: [db2]
`

func applicationSite() Site {
	return Site{Computers: []string{"db1", "db2"}, Repositories: []string{"main"}, Credentials: []string{"pg"}}
}

func parseJob(t *testing.T, text string) *keepwardv1.Job {
	t.Helper()
	docs, faults := Parse([]*keepwardv1.SourceFile{{Name: "f", Content: []byte(text)}})
	if len(faults) > 0 || len(docs) != 1 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	CompleteJob(docs[0].Job)
	return docs[0].Job
}

func TestApplicationsAreReadCheckedAndWrittenTheSame(t *testing.T) {
	j := parseJob(t, applicationsYAML)
	if err := Error(CheckJob(j, applicationSite())); err != nil {
		t.Fatal(err)
	}
	want := []*keepwardv1.Application{
		{Kind: "postgresql", Name: "main", Mode: "require", Credential: "pg", Settings: map[string]string{"log": "none"}},
		{Kind: "postgresql", Name: "other", Mode: "try", Address: "127.0.0.1:5433", Computers: []string{"db2"}},
	}
	if d := cmp.Diff(want, j.Applications, protocmp.Transform()); d != "" {
		t.Errorf("read (-want +got):\n%s", d)
	}
	text, err := Export(nil, []*keepwardv1.Job{j})
	if err != nil {
		t.Fatal(err)
	}
	again := parseJob(t, string(text))
	if d := ChangedJob(j, again); len(d) > 0 {
		t.Errorf("written and read again %v differ:\n%s", d, text)
	}
	again.Applications[1].Mode = "disable"
	if d := cmp.Diff([]string{"applications"}, ChangedJob(j, again)); d != "" {
		t.Errorf("changed fields (-want +got):\n%s", d)
	}
	for computer, names := range map[string]int{"db1": 1, "db2": 2} {
		if got := len(ApplicationsOf(j, computer)); got != names {
			t.Errorf("%d applications on %s, want %d", got, computer, names)
		}
	}
	if got := len(ApplicationsOf(again, "db2")); got != 1 {
		t.Errorf("%d applications on db2 where one is disabled", got)
	}
}

func TestApplicationsThatAreWrongAreRefused(t *testing.T) {
	for _, c := range []struct{ replace, with, want string }{
		{"kind: postgresql\n    credential", "kind: oracle\n    credential", "kind"},
		{"credential: pg", "credential: gp", "gp"},
		{"log: none", "log: some", "keep or none"},
		{"log: none", "lag: none", "no setting lag"},
		{"log: none", "programs: /opt", "no setting programs"},
		{"mode: try", "mode: maybe", "maybe"},
		{"computers: [db2]", "computers: [db3]", "db3"},
		{"name: other", "name: main", "two of the kind"},
		{"name: other", "name: a/b", "a/b"},
	} {
		text := strings.Replace(applicationsYAML, c.replace, c.with, 1)
		if text == applicationsYAML {
			t.Fatalf("nothing to replace: %s", c.replace)
		}
		err := Error(CheckJob(parseJob(t, text), applicationSite()))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want something of %q", c.with, err, c.want)
		}
	}
}

func TestAJobWithoutApplicationsNeedsFiles(t *testing.T) {
	j := parseJob(t, applicationsYAML)
	j.Applications = nil
	if err := Error(CheckJob(j, applicationSite())); err == nil || !strings.Contains(err.Error(), "include") {
		t.Errorf("taken: %v", err)
	}
}
