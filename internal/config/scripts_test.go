package config

import (
	"slices"
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

const withScripts = `kind: job
name: docs
computers:
  - web1
files:
  include:
    - /srv
repository: main
scripts:
  server_before:
    path: announce.sh
    arguments:
      - begin
    time_limit: 1m
    go_on: true
  agent_before:
    path: /opt/stop db
  agent_after:
    path: C:\scripts\start.cmd
`

func parseOne(t *testing.T, text string) *keepwardv1.Job {
	t.Helper()
	docs, faults := Parse([]*keepwardv1.SourceFile{{Name: "a.yaml", Content: []byte(text)}})
	if len(faults) > 0 || len(docs) != 1 {
		t.Fatalf("%d documents, faults %v", len(docs), faults)
	}
	return docs[0].Job
}

func TestScriptsAsText(t *testing.T) {
	j := parseOne(t, withScripts)
	want := &keepwardv1.Scripts{
		ServerBefore: &keepwardv1.Script{Path: "announce.sh", Arguments: []string{"begin"}, TimeLimit: durationpb.New(time.Minute), GoOn: true},
		AgentBefore:  &keepwardv1.Script{Path: "/opt/stop db"},
		AgentAfter:   &keepwardv1.Script{Path: `C:\scripts\start.cmd`},
	}
	if d := cmp.Diff(want, j.Scripts, protocmp.Transform()); d != "" {
		t.Errorf("read (-want +got):\n%s", d)
	}
	text, err := Export(nil, []*keepwardv1.Job{j})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(withScripts, string(text)); d != "" {
		t.Errorf("written (-want +got):\n%s", d)
	}
	if f := CheckJob(j, Site{Computers: []string{"web1"}, Repositories: []string{"main"}}); len(f) > 0 {
		t.Errorf("faults: %v", Error(f))
	}
	without := proto.CloneOf(j)
	without.Scripts = nil
	got := ChangedJob(without, j)
	for _, field := range []string{"scripts.server_before.path", "scripts.server_before.go_on", "scripts.agent_after.path"} {
		if !slices.Contains(got, field) {
			t.Errorf("changed are %v, without %s", got, field)
		}
	}
	if plain := parseOne(t, withScripts[:strings.Index(withScripts, "scripts:")]); plain.Scripts != nil {
		t.Errorf("a job without scripts has %v", plain.Scripts)
	}
}

func TestScriptsThatCannotBe(t *testing.T) {
	good := func() *keepwardv1.Script { return &keepwardv1.Script{Path: "/opt/x"} }
	for _, c := range []struct {
		place  job.Place
		change func(*keepwardv1.Script)
		field  string
	}{
		{job.AgentBefore, func(*keepwardv1.Script) {}, ""},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.Path = "x" }, "scripts.agent_before.path"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.Path, s.GoOn = "", true }, "scripts.agent_before.path"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.Path = "/x\x00" }, "scripts.agent_before.path"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.GoOn = true }, ""},
		{job.PreFreeze, func(s *keepwardv1.Script) { s.GoOn = true }, ""},
		{job.AgentAfter, func(s *keepwardv1.Script) { s.GoOn = true }, "scripts.agent_after.go_on"},
		{job.PostThaw, func(s *keepwardv1.Script) { s.GoOn = true }, "scripts.post_thaw.go_on"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.TimeLimit = durationpb.New(-1) }, "scripts.agent_before.time_limit"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.TimeLimit = durationpb.New(job.MaxScriptLimit) }, ""},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.TimeLimit = durationpb.New(job.MaxScriptLimit + 1) }, "scripts.agent_before.time_limit"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.Arguments = make([]string, argumentsMost+1) }, "scripts.agent_before.arguments"},
		{job.AgentBefore, func(s *keepwardv1.Script) { s.Arguments = []string{"a\x00"} }, "scripts.agent_before.arguments"},
		{job.ServerBefore, func(s *keepwardv1.Script) { s.Path = "sub/x" }, ""},
		{job.ServerBefore, func(*keepwardv1.Script) {}, "scripts.server_before.path"},
		{job.ServerAfter, func(s *keepwardv1.Script) { s.Path = "../x" }, "scripts.server_after.path"},
		{job.ServerAfter, func(s *keepwardv1.Script) { s.Path = `..\x` }, "scripts.server_after.path"},
		{job.ServerAfter, func(s *keepwardv1.Script) { s.Path = "." }, "scripts.server_after.path"},
	} {
		s := good()
		c.change(s)
		j := &keepwardv1.Job{
			Name: "docs", Computers: []string{"web1"}, Repository: "main", Files: &keepwardv1.FileSelection{Include: []string{"/srv"}},
			Scripts: &keepwardv1.Scripts{},
		}
		*ScriptAt(j.Scripts, c.place) = s
		CompleteJob(j)
		var got []string
		for _, f := range CheckJob(j, Site{Computers: []string{"web1"}, Repositories: []string{"main"}}) {
			got = append(got, f.Field)
		}
		var want []string
		if c.field != "" {
			want = []string{c.field}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s %v (-want +got):\n%s", c.place, s, d)
		}
	}
}
