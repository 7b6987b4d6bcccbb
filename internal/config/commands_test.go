package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

const withCommands = `kind: job
name: dumps
computers:
  - db1
  - db2
commands:
  packages.txt:
    path: /usr/bin/dpkg
    arguments:
      - --list
    mode: try
  shop.sql:
    path: /usr/bin/pg_dump
    credential: shop
    time_limit: 2h
    computers:
      - db1
repository: main
`

var dumpSite = Site{Computers: []string{"db1", "db2"}, Repositories: []string{"main"}, Credentials: []string{"shop"}}

func TestCommandsAsText(t *testing.T) {
	j := parseOne(t, withCommands)
	want := []*keepwardv1.CommandSource{
		{Name: "packages.txt", Path: "/usr/bin/dpkg", Arguments: []string{"--list"}, Mode: job.CommandTry},
		{Name: "shop.sql", Path: "/usr/bin/pg_dump", Credential: "shop", TimeLimit: durationpb.New(2 * time.Hour), Mode: job.CommandRequire, Computers: []string{"db1"}},
	}
	if d := cmp.Diff(want, j.Commands, protocmp.Transform()); d != "" {
		t.Errorf("read (-want +got):\n%s", d)
	}
	text, err := Export(nil, []*keepwardv1.Job{j})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(withCommands, string(text)); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
	if f := CheckJob(j, dumpSite); len(f) > 0 {
		t.Errorf("faults: %v", Error(f))
	}
	other := proto.CloneOf(j)
	other.Commands[1].Mode, other.Commands = job.CommandTry, other.Commands[1:]
	if d := cmp.Diff([]string{"commands.packages.txt", "commands.shop.sql.mode"}, ChangedJob(j, other)); d != "" {
		t.Errorf("changed (-want +got):\n%s", d)
	}
	if of := CommandsOf(j, "db2"); len(of) != 1 || of[0].Name != "packages.txt" {
		t.Errorf("on db2 run %v", of)
	}
}

func TestFaultsOfCommands(t *testing.T) {
	for want, change := range map[string]func(*keepwardv1.Job){
		"the name is one of a file":  func(j *keepwardv1.Job) { j.Commands[0].Name = "../x" },
		"there are two of this name": func(j *keepwardv1.Job) { j.Commands[0].Name = "shop.sql" },
		"it has no path":             func(j *keepwardv1.Job) { j.Commands[0].Path = "" },
		"is not absolute":            func(j *keepwardv1.Job) { j.Commands[0].Path = "dpkg" },
		"the time limit must be":     func(j *keepwardv1.Job) { j.Commands[0].TimeLimit = durationpb.New(1000 * time.Hour) },
		"mode \"later\" is unknown":  func(j *keepwardv1.Job) { j.Commands[0].Mode = "later" },
		"is none of the job's":       func(j *keepwardv1.Job) { j.Commands[0].Computers = []string{"db3"} },
		"there is no credential":     func(j *keepwardv1.Job) { j.Commands[0].Credential = "other" },
		"an argument is longer":      func(j *keepwardv1.Job) { j.Commands[0].Arguments = []string{"a\x00b"} },
		"has no such commands":       func(j *keepwardv1.Job) { j.Type = string(job.Verify) },
		// db2 would have neither files nor a command.
		"it needs a path to include": func(j *keepwardv1.Job) { j.Commands = j.Commands[1:] },
		"it has 65 commands": func(j *keepwardv1.Job) {
			for len(j.Commands) < 65 {
				j.Commands = append(j.Commands, &keepwardv1.CommandSource{Name: "x" + strings.Repeat("y", len(j.Commands)), Path: "/x", Mode: job.CommandTry})
			}
		},
	} {
		j := parseOne(t, withCommands)
		change(j)
		err := Error(CheckJob(j, dumpSite))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// Who is in a group is seen when a session begins: a command may be for one who is in it then.
func TestCommandsOfMembersOfGroups(t *testing.T) {
	site := dumpSite.WithGroups(&keepwardv1.Group{Name: "databases"})
	j := parseOne(t, withCommands)
	j.Groups = []string{"databases"}
	j.Commands[1].Computers = []string{"db9"}
	if err := Error(CheckJob(j, site)); err != nil {
		t.Errorf("with a command for every member: %v", err)
	}
	j.Commands = j.Commands[1:]
	if err := Error(CheckJob(j, site)); err == nil || !strings.Contains(err.Error(), "it needs a path to include") {
		t.Errorf("with members that have neither files nor a command: %v", err)
	}
	j.Files.Include = []string{"/srv"}
	if err := Error(CheckJob(j, site)); err != nil {
		t.Errorf("with files for every member: %v", err)
	}
}

func TestApplicationsOfMembersOfGroups(t *testing.T) {
	site := applicationSite().WithGroups(&keepwardv1.Group{Name: "databases"})
	j := parseJob(t, applicationsYAML)
	j.Applications[0].Computers = []string{"db9"}
	if err := Error(CheckJob(j, site)); err == nil || !strings.Contains(err.Error(), "none of the job's") {
		t.Errorf("without the group: %v", err)
	}
	j.Groups = []string{"databases"}
	if err := Error(CheckJob(j, site)); err != nil {
		t.Errorf("with the group: %v", err)
	}
}
