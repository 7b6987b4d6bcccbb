package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/update"
	"keepward/internal/wire"
)

func (s *testServer) updates() keepwardv1connect.UpdateServiceClient {
	return keepwardv1connect.NewUpdateServiceClient(s.client, s.url(), as(s.token))
}

// armProgram looks like a program for linux/arm64.
func armProgram(t *testing.T, bytesMore int) []byte {
	t.Helper()
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_AARCH64), Version: 1, Ehsize: 64}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), bytes.Repeat([]byte("keepward"), bytesMore/8)...)
}

func (s *testServer) upload(program []byte, version string) (*keepwardv1.AgentPackage, error) {
	req := &keepwardv1.UploadPackageRequest{Version: version}
	for {
		n := min(len(program), 1<<20)
		req.Data, req.Last = program[:n], n == len(program)
		res, err := s.updates().UploadPackage(s.t.Context(), connect.NewRequest(req))
		if err != nil || req.Last {
			return res.Msg.GetPackage(), err
		}
		program, req.Upload, req.Offset = program[n:], res.Msg.Upload, req.Offset+int64(n)
	}
}

// updatedAgent is an agent that does what it is told about updates, or not.
type updatedAgent struct {
	keepwardv1connect.UnimplementedAgentUpdateServiceHandler
	fails *keepwardv1.UpdateResult // of what it says when it is told to become another version
	leave bool                     // it ends then, until comeBack

	mu    sync.Mutex
	state *keepwardv1.GetUpdateResponse
	order *keepwardv1.BeginUpdateRequest
	times int
}

func (a *updatedAgent) GetUpdate(context.Context, *connect.Request[keepwardv1.GetUpdateRequest]) (*connect.Response[keepwardv1.GetUpdateResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return connect.NewResponse(proto.CloneOf(a.state)), nil
}

func (a *updatedAgent) BeginUpdate(_ context.Context, req *connect.Request[keepwardv1.BeginUpdateRequest]) (*connect.Response[keepwardv1.BeginUpdateResponse], error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.order = req.Msg
	a.times++
	if a.leave {
		a.state.Id, a.state.Phase = req.Msg.Id, "trying"
		return connect.NewResponse(&keepwardv1.BeginUpdateResponse{}), nil
	}
	last := &keepwardv1.UpdateResult{Done: true}
	if a.fails != nil {
		last = proto.CloneOf(a.fails)
	} else {
		a.state.Version = req.Msg.Package.Version
	}
	last.Id, last.From, last.Version = req.Msg.Id, "1.0.0", req.Msg.Package.Version
	a.state.Last = last
	return connect.NewResponse(&keepwardv1.BeginUpdateResponse{}), nil
}

func (a *updatedAgent) ordered() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.times
}

// old brings an agent of version 1.0.0 online.
func (s *testServer) old(name string, a *updatedAgent) (*testNode, wire.Credentials) {
	s.t.Helper()
	a.state = &keepwardv1.GetUpdateResponse{Version: "1.0.0", Os: "linux", Arch: "arm64", Managed: a.state.GetManaged()}
	creds, err := s.enrol(s.joinToken(wire.RoleAgent, name), wire.RoleAgent, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.comes(creds, a, "1.0.0"), creds
}

// comes connects an agent of a version.
func (s *testServer) comes(creds wire.Credentials, a *updatedAgent, version string) *testNode {
	s.t.Helper()
	mux := http.NewServeMux()
	mux.Handle(keepwardv1connect.NewAgentUpdateServiceHandler(a))
	n, err := s.connect(creds, mux)
	if err != nil {
		s.t.Fatal(err)
	}
	must(n.node.Heartbeat(s.t.Context(), connect.NewRequest(&keepwardv1.HeartbeatRequest{
		Info: &keepwardv1.NodeInfo{Version: version, Os: "linux", Arch: "arm64"}, Clock: timestamppb.Now(), Boot: version,
	})))(s.t)
	return n
}

// comesBack connects an agent that has become what it was told to.
func (s *testServer) comesBack(creds wire.Credentials, a *updatedAgent, version string) {
	s.t.Helper()
	s.comes(creds, a, version)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state = &keepwardv1.GetUpdateResponse{
		Version: version, Os: "linux", Arch: "arm64", Last: &keepwardv1.UpdateResult{Id: a.order.Id, Done: true, From: "1.0.0", Version: version},
	}
}

// over waits until a rollout is.
func (s *testServer) over(id int64) *keepwardv1.Rollout {
	s.t.Helper()
	for {
		ro := must(s.updates().GetRollout(s.t.Context(), connect.NewRequest(&keepwardv1.GetRolloutRequest{Id: id})))(s.t).Rollout
		if ro.Status != "active" {
			return ro
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *testServer) rollOut(req *keepwardv1.UpdateComputersRequest) (*keepwardv1.Rollout, error) {
	res, err := s.updates().UpdateComputers(s.t.Context(), connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg.Rollout, nil
}

func members(ro *keepwardv1.Rollout) string {
	var out []string
	for _, m := range ro.Members {
		out = append(out, m.Computer+" "+m.Status)
	}
	return strings.Join(out, ", ")
}

func TestTheFirstComputerOnWhichItFailsStopsARollout(t *testing.T) {
	s := start(t, t.TempDir())
	program := armProgram(t, 3<<20)
	p, err := s.upload(program, "1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	good, last := &updatedAgent{}, &updatedAgent{}
	bad := &updatedAgent{fails: &keepwardv1.UpdateResult{Code: "update.no-answer", Reason: "nobody answered it", Log: []string{"I am lost"}}}
	node, creds := s.old("a", good)
	s.old("b", bad)
	s.old("c", last)
	s.createGroup(&keepwardv1.Group{Name: "all", Patterns: []string{"*"}})

	ro, err := s.rollOut(&keepwardv1.UpdateComputersRequest{Group: "all", Version: "1.1.0", AtOnce: 1})
	if err != nil {
		t.Fatal(err)
	}
	ro = s.over(ro.Id)
	if got := members(ro); ro.Status != "stopped" || got != "a updated, b failed, c left out" || last.times > 0 {
		t.Fatalf("%s: %s (%s)", ro.Status, got, ro.Reason)
	}
	conditions := s.status().Conditions
	if got := codes(conditions); !strings.Contains(got, "update.no-answer b") || !strings.Contains(got, "update.rollout-stopped b") {
		t.Errorf("the conditions are %s", got)
	}
	for _, c := range conditions {
		if c.Code == "update.no-answer" && !strings.Contains(c.Text, "I am lost") {
			t.Errorf("what it said last is not told: %s", c.Text)
		}
	}

	// What the agent was told is what it takes: signed by its authority, and to be had over its link.
	told := good.order.Package
	meta := update.Package{OS: told.Os, Arch: told.Arch, Version: told.Version, Size: told.SizeBytes, SHA256: told.Sha256}
	if err := meta.Verify(creds.CA, told.Signature); err != nil || !proto.Equal(&keepwardv1.AgentPackage{Sha256: told.Sha256}, &keepwardv1.AgentPackage{Sha256: p.Sha256}) {
		t.Errorf("the agent was told %v: %v", told, err)
	}
	packages := keepwardv1connect.NewPackageServiceClient(node.link.Client(), wire.LinkURL, connect.WithInterceptors(wire.Errors()))
	var came []byte
	for {
		part := must(packages.ReadPackage(t.Context(), connect.NewRequest(&keepwardv1.ReadPackageRequest{Sha256: told.Sha256, Offset: int64(len(came))})))(t).Data
		if came = append(came, part...); len(part) == 0 {
			break
		}
	}
	if !bytes.Equal(came, program) {
		t.Errorf("%d bytes come, not %d", len(came), len(program))
	}
	if _, err := packages.ReadPackage(t.Context(), connect.NewRequest(&keepwardv1.ReadPackageRequest{Sha256: "../ca.key"})); errs.CodeOf(wire.FromConnect(err)) != "package.unknown" {
		t.Errorf("another file of the server: %v", err)
	}

	// A new one goes on with the others; by name what failed is tried again.
	ro, err = s.rollOut(&keepwardv1.UpdateComputersRequest{Group: "all", Version: "1.1.0"})
	if err != nil {
		t.Fatal(err)
	}
	if got := members(s.over(ro.Id)); !strings.Contains(got, "b left out, c updated") {
		t.Errorf("the second rollout: %s", got)
	}
	bad.fails = nil
	if ro, err = s.rollOut(&keepwardv1.UpdateComputersRequest{Computers: []string{"b"}, Version: "1.1.0"}); err != nil {
		t.Fatal(err)
	}
	if got := members(s.over(ro.Id)); got != "b updated" || !bad.order.Again {
		t.Errorf("by name: %s", got)
	}
	if got := codes(s.status().Conditions); strings.Contains(got, "update.") {
		t.Errorf("the conditions stay: %s", got)
	}
}

func TestWhoIsLeftOutOfARollout(t *testing.T) {
	managed := &updatedAgent{state: &keepwardv1.GetUpdateResponse{Managed: "managed by the package, not updated by itself"}}
	s := start(t, t.TempDir())
	if _, err := s.upload(armProgram(t, 8), "1.1.0"); err != nil {
		t.Fatal(err)
	}
	s.old("a", &updatedAgent{})
	s.old("m", managed)
	s.join(wire.RoleAgent, "strange", http.NotFoundHandler())
	for name, c := range map[string]struct {
		req  *keepwardv1.UpdateComputersRequest
		code string
	}{
		"nobody named":   {&keepwardv1.UpdateComputersRequest{}, "update.which"},
		"named twice":    {&keepwardv1.UpdateComputersRequest{Computers: []string{"a"}, AllOutOfDate: true}, "update.which"},
		"at once":        {&keepwardv1.UpdateComputersRequest{Computers: []string{"a"}, AtOnce: -1}, "update.at-once"},
		"no computer":    {&keepwardv1.UpdateComputersRequest{Computers: []string{"b"}}, "computer.unknown"},
		"no package":     {&keepwardv1.UpdateComputersRequest{Computers: []string{"a"}, Version: "1.2.0"}, "update.nobody"},
		"older":          {&keepwardv1.UpdateComputersRequest{Computers: []string{"a"}, Version: "0.9.0"}, "update.nobody"},
		"not comparable": {&keepwardv1.UpdateComputersRequest{Computers: []string{"a"}}, "update.nobody"},
		"out of date":    {&keepwardv1.UpdateComputersRequest{AllOutOfDate: true}, "update.nobody"}, // than "test" nobody is older
	} {
		if _, err := s.rollOut(c.req); errs.CodeOf(wire.FromConnect(err)) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.createGroup(&keepwardv1.Group{Name: "some", Computers: []string{"m", "strange"}})
	ro, err := s.rollOut(&keepwardv1.UpdateComputersRequest{Group: "some", Version: "1.1.0", AllowDowngrade: true})
	if err != nil {
		t.Fatal(err)
	}
	if ro = s.over(ro.Id); members(ro) != "m left out, strange left out" || ro.Status != "done" || managed.times > 0 {
		t.Errorf("%s: %s", ro.Status, members(ro))
	}
}

func (s *testServer) settings() keepwardv1connect.SettingsServiceClient {
	return keepwardv1connect.NewSettingsServiceClient(s.client, s.url(), as(s.token))
}

func (s *testServer) rollouts() []*keepwardv1.Rollout {
	s.t.Helper()
	return must(s.updates().ListRollouts(s.t.Context(), connect.NewRequest(&keepwardv1.ListRolloutsRequest{})))(s.t).Rollouts
}

// soon waits until something is so that the server does by itself.
func (s *testServer) soon(what string, is func() bool) {
	s.t.Helper()
	for until := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			s.t.Fatalf("no %s; the rollouts are %v", what, s.rollouts())
		}
	}
}

// Nobody orders an update here: the setting does, once there is a package for who is older.
func TestTheSettingUpdatesAgentsByThemselves(t *testing.T) {
	const every = time.Millisecond
	s := startAs(t, t.TempDir(), func(c *Config) { c.Version, c.UpdatesEvery = "1.1.0", every })
	set := func(value string) {
		t.Helper()
		must(s.settings().SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: "agent_updates", Value: value})))(t)
	}
	stay := func(n int, while string) { // for many of the moments at which the server looks
		t.Helper()
		for began := time.Now(); time.Since(began) < 50*every; {
			if list := s.rollouts(); len(list) != n {
				t.Fatalf("%s a rollout begins: %v", while, list)
			}
		}
	}
	good := &updatedAgent{leave: true}
	_, creds := s.old("a", good)
	set("on")
	stay(0, "without a package for its platform")
	set("off")
	if _, err := s.upload(armProgram(t, 8), "1.1.0"); err != nil {
		t.Fatal(err)
	}
	stay(0, "while the setting is off")
	set("on")
	s.soon("order to the agent", func() bool { return good.ordered() > 0 })
	s.comesBack(creds, good, "1.1.0")
	ro := s.over(s.rollouts()[0].Id)
	if got := members(ro); got != "a updated" || ro.Status != "done" || ro.Version != "1.1.0" || ro.User != "" || ro.Again {
		t.Fatalf("the rollout of %s by %q is %s: %s", ro.Version, ro.User, ro.Status, got)
	}

	// Who comes later has its own; one on which it failed is left alone.
	bad := &updatedAgent{fails: &keepwardv1.UpdateResult{Code: "update.no-answer", Reason: "nobody answered it"}}
	s.old("b", bad)
	s.soon("second rollout", func() bool { return len(s.rollouts()) == 2 })
	if ro = s.over(s.rollouts()[0].Id); members(ro) != "b failed" || ro.Status != "stopped" {
		t.Fatalf("the second rollout is %s: %s", ro.Status, members(ro))
	}
	stay(2, "after it has failed")
	if good.ordered() != 1 || bad.ordered() != 1 {
		t.Errorf("a was ordered %d times, b %d times", good.ordered(), bad.ordered())
	}
}

func TestPackagesAreTakenWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	program := armProgram(t, 3<<20)
	bad := func(code string, req *keepwardv1.UploadPackageRequest) {
		t.Helper()
		if _, err := s.updates().UploadPackage(t.Context(), connect.NewRequest(req)); errs.CodeOf(wire.FromConnect(err)) != code {
			t.Errorf("%v", err)
		}
	}
	bad("package.program", &keepwardv1.UploadPackageRequest{Data: []byte("#!/bin/sh"), Last: true, Version: "1.1.0"})
	bad("package.version", &keepwardv1.UploadPackageRequest{Data: program, Last: true})
	bad("package.version", &keepwardv1.UploadPackageRequest{Data: program, Last: true, Version: "1\n2"})
	bad("package.upload", &keepwardv1.UploadPackageRequest{Upload: "unknown", Data: program})
	first := must(s.updates().UploadPackage(t.Context(), connect.NewRequest(&keepwardv1.UploadPackageRequest{Data: program[:100]})))(t)
	bad("package.upload", &keepwardv1.UploadPackageRequest{Upload: first.Upload, Offset: 99, Data: program[99:], Last: true, Version: "1.1.0"})
	bad("package.upload", &keepwardv1.UploadPackageRequest{Upload: first.Upload, Offset: 100, Data: program[100:], Last: true, Version: "1.1.0"}) // it is gone

	p, err := s.upload(program, "1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(program)
	if p.Sha256 != hex.EncodeToString(sum[:]) || p.Os+p.Arch != "linuxarm64" || p.SizeBytes != int64(len(program)) || p.Imported == nil {
		t.Errorf("it is %v", p)
	}
	file := filepath.Join(dir, packageDir, p.Sha256)
	list := func() []*keepwardv1.AgentPackage {
		return must(s.updates().ListPackages(t.Context(), connect.NewRequest(&keepwardv1.ListPackagesRequest{})))(t).Packages
	}
	if got := list(); len(got) != 2 || got[0].Version != "test" || got[1].Problem != "" {
		t.Errorf("there are %v", got)
	}
	if err := os.Truncate(file, 5); err != nil {
		t.Fatal(err)
	}
	if got := list(); got[1].Problem == "" {
		t.Error("it is not seen that its file is cut")
	}
	// To import it again is what is said to help: it puts a good file in the place of the damaged one, also
	// where the size has not changed. What a crash left of an upload goes with it.
	for _, damage := range []func() error{
		func() error { return os.Truncate(file, 5) },
		func() error { return os.WriteFile(file, make([]byte, len(program)), 0o600) },
	} {
		left := filepath.Join(dir, packageDir, ".upload-left")
		if err := errors.Join(damage(), os.WriteFile(left, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.upload(program, "1.1.0"); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b, program) {
			t.Errorf("after it was imported again its file is damaged still: %v", err)
		}
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what a crash left of an upload: %v", err)
		}
	}
	must(s.updates().RemovePackage(t.Context(), connect.NewRequest(&keepwardv1.RemovePackageRequest{Os: "linux", Arch: "arm64", Version: "1.1.0"})))(t)
	if files, err := os.ReadDir(filepath.Join(dir, packageDir)); err != nil || len(files) > 0 {
		t.Errorf("there are %v, %v", files, err)
	}
}
