package server

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

func (s *testServer) groupAPI() keepwardv1connect.GroupServiceClient {
	return keepwardv1connect.NewGroupServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) createGroup(g *keepwardv1.Group) *keepwardv1.GroupState {
	s.t.Helper()
	return must(s.groupAPI().CreateGroup(s.t.Context(), connect.NewRequest(&keepwardv1.CreateGroupRequest{Group: g})))(s.t).State
}

func (s *testServer) group(name string) *keepwardv1.GroupState {
	s.t.Helper()
	return must(s.groupAPI().GetGroup(s.t.Context(), connect.NewRequest(&keepwardv1.GetGroupRequest{Name: name})))(s.t).State
}

// rescan rescans groups, and answers the session when it is over.
func (s *testServer) rescan(names ...string) *keepwardv1.Session {
	s.t.Helper()
	id := must(s.groupAPI().RescanGroups(s.t.Context(), connect.NewRequest(&keepwardv1.RescanGroupsRequest{Names: names})))(s.t).Session
	return s.ended(id)
}

// ended waits for the end of a session.
func (s *testServer) ended(id int64) *keepwardv1.Session {
	s.t.Helper()
	req := connect.NewRequest(&keepwardv1.WatchSessionRequest{Id: id})
	req.Header().Set("Authorization", "Bearer "+s.token)
	stream, err := s.sessions(s.token).WatchSession(s.t.Context(), req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var last *keepwardv1.Session
	for stream.Receive() {
		last = stream.Msg().Session
	}
	if err := stream.Err(); err != nil {
		s.t.Fatal(err)
	}
	return last
}

// who are the members of a group, and why they are.
func who(g *keepwardv1.GroupState) string {
	var out []string
	for _, m := range g.Members {
		out = append(out, m.Computer+" "+m.By)
	}
	return strings.Join(out, ", ")
}

func (s *testServer) write(path, text string) {
	s.t.Helper()
	// As the page says: a file that is put in place is whole.
	if err := os.WriteFile(path+".new", []byte(text), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
}

func TestABrokenGroupFileLeavesTheLastGoodList(t *testing.T) {
	s := start(t, t.TempDir())
	s.join(wire.RoleAgent, "web1", http.NotFoundHandler())
	s.join(wire.RoleAgent, "web2", http.NotFoundHandler())
	file := filepath.Join(t.TempDir(), "lab.csv")
	s.write(file, "web1\n")
	g := s.createGroup(&keepwardv1.Group{Name: "lab", File: file})
	if who(g) != "web1 file" || len(g.Warnings) != 0 {
		t.Fatalf("%v", g)
	}
	s.write(file, "web2\nweb9\n")
	if last := s.rescan("lab"); last.Status != "Completed w/ warnings" { // web9 has not joined
		t.Errorf("%v", last)
	}
	if g = s.group("lab"); who(g) != "web2 file" || !slices.Equal(g.Untrusted, []string{"web9"}) {
		t.Fatalf("%v", g)
	}
	for _, c := range []struct{ name, text string }{{"broken", "web1\n\"web"}, {"empty", ""}, {"no list", "\x7fELF\x01\x02"}} {
		s.write(file, c.text)
		if last := s.rescan(); last.Status != "Completed w/ warnings" {
			t.Errorf("%s: %s", c.name, last.Status)
		}
		g = s.group("lab")
		if who(g) != "web2 file" || g.Lists[0].Problem == "" || g.Lists[0].Read == nil || g.Lists[0].ProblemSince == nil {
			t.Errorf("%s: %v", c.name, g)
		}
		if got := codes(s.status().Conditions); !strings.Contains(got, "group.file lab") {
			t.Errorf("%s: conditions %s", c.name, got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	s.rescan()
	if g = s.group("lab"); who(g) != "web2 file" || g.Lists[0].Problem == "" {
		t.Errorf("without its file: %v", g)
	}
	s.write(file, "name\n")
	if s.rescan(); who(s.group("lab")) != "" || strings.Contains(codes(s.status().Conditions), "group.file") {
		t.Errorf("with a list of nobody: %v", s.group("lab"))
	}
}

// Nobody can end a call to a file system that hangs: one is enough.
func TestAFileThatHangsIsNotReadASecondTime(t *testing.T) {
	r := &groupReader{hanging: map[string]bool{"lab": true}}
	names, _, err := r.readFile(t.Context(), &keepwardv1.Group{Name: "lab", File: "/dev/null"}, "")
	if names != nil || errs.CodeOf(err) != "group.file" || errs.KindOf(err) != errs.Unavailable {
		t.Errorf("%v, %v", names, err)
	}
}

func TestCloudMachinesAreToldByACommandWithinBounds(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	s.join(wire.RoleAgent, "vm1", http.NotFoundHandler())
	scripts := filepath.Join(dir, "scripts")
	if err := os.MkdirAll(scripts, 0o700); err != nil {
		t.Fatal(err)
	}
	command := filepath.Join(scripts, "vms")
	s.write(command, "#!/bin/sh\necho looking >&2\necho \"[\\\"$1\\\"]\"\n")
	g := &keepwardv1.Group{Name: "cloud", Command: "vms", Arguments: []string{"vm1"}}
	s.createGroup(g)
	s.rescan("cloud")
	if state := s.group("cloud"); who(state) != "vm1 cloud" {
		t.Fatalf("%v", state)
	}
	g.TimeLimit = durationpb.New(100 * time.Millisecond)
	must(s.groupAPI().UpdateGroup(t.Context(), connect.NewRequest(&keepwardv1.UpdateGroupRequest{Group: g})))(t)
	for _, c := range []struct{ name, text string }{
		{"hangs", "sleep 600"},
		{"hangs with a child that holds its output", "sleep 600 & wait"},
		{"prints junk", "echo '<html>log in</html>'"},
		{"prints half of it", "printf '[\"vm1\", '"},
		{"fails", "echo '[]'; exit 3"},
		{"prints without end", "yes '[\"vm1\"]'"},
		{"prints nothing", "true"},
	} {
		s.write(command, "#!/bin/sh\n"+c.text+"\n")
		if last := s.rescan("cloud"); last.Status != "Completed w/ warnings" {
			t.Errorf("one that %s: %v", c.name, last)
		}
		state := s.group("cloud")
		if who(state) != "vm1 cloud" || state.Lists[0].Problem == "" || !strings.Contains(codes(s.status().Conditions), " cloud") {
			t.Errorf("one that %s: %v", c.name, state)
		}
	}
	for _, command := range []string{"../outside", "/bin/true", "gone"} {
		g.Command = command
		must(s.groupAPI().UpdateGroup(t.Context(), connect.NewRequest(&keepwardv1.UpdateGroupRequest{Group: g})))(t)
		s.rescan("cloud")
		if state := s.group("cloud"); !strings.HasPrefix(state.Lists[0].ProblemCode, "script.") || who(state) != "vm1 cloud" {
			t.Errorf("command %s: %v", command, state)
		}
	}
}

func TestViewsOfComputers(t *testing.T) {
	s, _ := withRepository(t) // with web1
	s.join(wire.RoleAgent, "web2", http.NotFoundHandler())
	if _, err := s.enrol(s.joinToken(wire.RoleAgent, "web3"), wire.RoleAgent, "web3"); err != nil {
		t.Fatal(err)
	}
	s.createGroup(&keepwardv1.Group{Name: "lab", Computers: []string{"web2", "later"}})
	j := docs()
	j.Computers, j.Groups = nil, []string{"lab"}
	if _, err := s.createJob(j); err != nil {
		t.Fatal(err)
	}
	in := func(view, group string) string {
		var names []string
		for _, c := range must(s.computers().ListComputers(t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{View: view, Group: group})))(t).Computers {
			names = append(names, c.Name)
		}
		return strings.Join(names, " ")
	}
	for _, c := range []struct{ view, group, want string }{
		{viewOffline, "", "web3"},
		{viewUntrusted, "", "later"},
		{viewUnprotected, "", "web1 web2 web3"}, // web2 is in a job, and has no point
		{viewOutOfDate, "", ""},                 // "1" cannot be compared
		{"", "lab", "later web2"},
		{viewUnprotected, "lab", "web2"},
	} {
		if got := in(c.view, c.group); got != c.want {
			t.Errorf("view %q of group %q: %s, want %s", c.view, c.group, got, c.want)
		}
	}
	must(s.computers().RemoveComputer(t.Context(), connect.NewRequest(&keepwardv1.RemoveComputerRequest{Name: "web2"})))(t)
	if got := in(viewUntrusted, ""); got != "later web2" {
		t.Errorf("after web2 was shut out: %s", got)
	}
	counts := map[string]int64{}
	for _, v := range s.status().Views {
		counts[v.View] = v.Computers
	}
	if counts[viewOffline] != 1 || counts[viewUntrusted] != 2 || counts[viewOutOfDate] != 0 || counts[viewUnprotected] != 2 {
		t.Errorf("%v", counts)
	}
	if _, err := s.computers().ListComputers(t.Context(), connect.NewRequest(&keepwardv1.ListComputersRequest{View: "oflfine"})); errs.CodeOf(err) != "computer.view" {
		t.Errorf("%v", err)
	}
}

// inventoryOf answers with what it is given.
type inventoryOf struct {
	keepwardv1connect.UnimplementedInventoryServiceHandler
	i *keepwardv1.Inventory
}

func (f inventoryOf) TakeInventory(context.Context, *connect.Request[keepwardv1.TakeInventoryRequest]) (*connect.Response[keepwardv1.TakeInventoryResponse], error) {
	return connect.NewResponse(&keepwardv1.TakeInventoryResponse{Inventory: f.i}), nil
}

func TestARescanAsksComputersWhatTheyAre(t *testing.T) {
	s := start(t, t.TempDir())
	tell := func(i *keepwardv1.Inventory) http.Handler {
		mux := http.NewServeMux()
		mux.Handle(keepwardv1connect.NewInventoryServiceHandler(inventoryOf{i: i}))
		return mux
	}
	good := &keepwardv1.Inventory{System: "Debian", Addresses: []string{"192.0.2.7"}, Volumes: []*keepwardv1.Volume{{Mount: "/", Type: "ext4", SizeBytes: 100, FreeBytes: 40}}}
	liar := &keepwardv1.Inventory{System: strings.Repeat("x", 9999), Processors: -1}
	for range 5000 {
		liar.Volumes = append(liar.Volumes, &keepwardv1.Volume{Mount: strings.Repeat("/y", 40), SizeBytes: -7})
	}
	s.join(wire.RoleAgent, "good", tell(good))
	s.join(wire.RoleAgent, "liar", tell(liar))
	s.join(wire.RoleAgent, "mute", tell(nil))
	s.join(wire.RoleAgent, "aged", http.NotFoundHandler())
	if last := s.rescan(); last.Status != "Completed w/ warnings" {
		t.Errorf("%v", last)
	}
	inventory := func(name string) *keepwardv1.Inventory {
		return must(s.computers().GetComputer(t.Context(), connect.NewRequest(&keepwardv1.GetComputerRequest{Name: name})))(t).Inventory
	}
	if i := inventory("good"); i.GetSystem() != "Debian" || i.GetVolumes()[0].GetFreeBytes() != 40 || i.GetTaken() == nil {
		t.Errorf("%v", i)
	}
	if i := inventory("liar"); len(i.GetVolumes()) != volumesMost || int(i.GetMoreVolumes()) != 5000-volumesMost || len(i.GetSystem()) > textMost+3 || i.GetVolumes()[0].GetSizeBytes() != 0 || i.GetProcessors() != 0 {
		t.Errorf("%d volumes and %d more", len(i.GetVolumes()), i.GetMoreVolumes())
	}
	if inventory("mute") != nil || inventory("aged") != nil {
		t.Error("what was not said is kept")
	}
}

const tagsYAML = `kind: computer
name: web1
tags:
  - paris
`

const groupsYAML = `kind: group
name: lab
computers:
  - later
patterns:
  - web*
exclude:
  - web9
---
kind: job
name: docs
groups:
  - lab
files:
  include:
    - /srv
repository: main
`

func TestGroupsAndTagsAreAppliedAndExported(t *testing.T) {
	s, _ := withRepository(t)
	before := s.export()
	all := tagsYAML + "---\n" + groupsYAML
	if res := s.apply(true, all); len(res.Changes) != 3 || len(res.Faults) != 0 || s.export() != before {
		t.Fatalf("the dry run: %v", res)
	}
	if res := s.apply(false, all); len(res.Changes) != 3 || len(res.Faults) != 0 {
		t.Fatalf("got %v", res)
	}
	if got := s.export(); got != tagsYAML+"---\n"+before+"---\n"+groupsYAML {
		t.Errorf("exported %s", got)
	}
	if res := s.apply(false, s.export()); len(res.Changes) != 0 || len(res.Faults) != 0 {
		t.Errorf("the export changes something: %v", res)
	}
	if got := who(s.group("lab")); got != "web1 pattern" {
		t.Errorf("members %s", got)
	}
	if c := s.computer("web1"); !slices.Equal(c.Tags, []string{"paris"}) || !slices.Equal(c.Groups, []string{"lab"}) {
		t.Errorf("%v", c)
	}
	if _, err := s.groupAPI().DeleteGroup(t.Context(), connect.NewRequest(&keepwardv1.DeleteGroupRequest{Name: "lab"})); errs.CodeOf(err) != "group.used" {
		t.Errorf("a group with a job was deleted: %v", err)
	}
	for _, c := range []struct{ text, field string }{
		{"kind: group\nname: lab\npatterns: ['[']\n", "patterns[0]"},
		{"kind: group\nname: lab\ncomputers: [a b]\n", "computers[0]"},
		{"kind: group\nname: lab\nfile: lab.csv\n", "file"},
		{"kind: group\nname: lab\nurl: ftp://x/\n", "url"},
		{"kind: group\nname: lab\nurl: https://x/\ncommand: vms\n", "url"},
		{"kind: group\nname: lab\narguments: [x]\n", "arguments"},
		{"kind: group\nname: lab\ncommand: vms\ntime_limit: 1h\n", "time_limit"},
		{"kind: computer\nname: web1\ntags: ['a b']\n", "tags[0]"},
		{strings.Replace(groupsYAML[strings.LastIndex(groupsYAML, "kind"):], "- lab", "- lba", 1), "groups[0]"},
	} {
		if res := s.apply(false, c.text); len(res.Faults) != 1 || res.Faults[0].Field != c.field {
			t.Errorf("%s: %v", c.text, res)
		}
	}
}

func TestARunOfAJobWhoseGroupsAreEmptyIsRefused(t *testing.T) {
	s, _ := withRepository(t)
	s.createGroup(&keepwardv1.Group{Name: "nobody", Patterns: []string{"nix*"}})
	j := docs()
	j.Computers, j.Groups = nil, []string{"nobody"}
	res, err := s.jobs().CreateJob(t.Context(), connect.NewRequest(&keepwardv1.CreateJobRequest{Job: j}))
	if err != nil || len(res.Msg.Warnings) != 2 {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := s.jobs().RunJob(t.Context(), connect.NewRequest(&keepwardv1.RunJobRequest{Name: j.Name})); errs.CodeOf(err) != "job.no-members" {
		t.Errorf("%v", err)
	}
}
