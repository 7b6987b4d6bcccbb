package transport_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

func TestABackupIsCommittedAndReadBack(t *testing.T) {
	h := newHost(t)
	a := h.backup(text)
	end := h.server.End(a.String())
	if got := end.GetPoint(); got.GetId() != a.String() || got.GetCompleteness() != "complete" || got.GetPartial() {
		t.Errorf("point: %v", got)
	}
	if end.GetCounters().GetStoredBytes() == 0 || end.GetCounters().GetPeakRssBytes() == 0 || end.GetFailure() != nil {
		t.Errorf("end: %v", end)
	}
	if ev := h.events(a); !strings.Contains(ev["connection.made"], "unix socket") {
		t.Errorf("events do not say how the agent connected: %v", ev)
	}
	h.server.Await("the mover's directory to be gone", func() bool {
		dirs, _ := filepath.Glob(filepath.Join(h.data, "movers", "*"))
		return len(dirs) == 0
	})

	b := newAttempt()
	req := h.request(b, mover.ModeRestore)
	req.ReadablePoints = []string{a.String()}
	e := h.startMover(req)
	e.Socket = "" // as from another host
	c := h.connect(b, e)
	content, err := c.Point(t.Context(), a.String())
	must(t, err)
	p, err := point.Parse(content)
	must(t, err)
	keys := h.master.TaskKeys(h.id, "web1")
	hosts := keys.NewHasher().Hash(seal.KindData, text("etc/hosts"))
	opener, err := seal.NewOpener(keys)
	must(t, err)
	n := 0
	must(t, c.Get(t.Context(), []seal.ID{p.RootID, hosts.ID()}, func(i int, rec []byte) error {
		n++
		if i == 0 {
			return nil
		}
		r, err := seal.ParseRecord(rec)
		must(t, err)
		got, err := opener.Open(nil, &r, hosts)
		must(t, err)
		if diff := cmp.Diff(string(text("etc/hosts")), string(got)); diff != "" {
			t.Error(diff)
		}
		return nil
	}))
	if n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	if _, err := c.Point(t.Context(), newAttempt().String()); errs.CodeOf(err) != "point.not-readable" {
		t.Errorf("a point that the task may not read: %v", err)
	}
	if err := c.Put(t.Context(), []byte("x")); err == nil {
		err = c.Checkpoint(t.Context(), point.Draft{Type: point.Checkpoint})
		if errs.CodeOf(err) != "request.mode" {
			t.Errorf("a put in a restore: %v", err)
		}
	}
	_ = c.Close()
	if end := h.server.End(b.String()); end.GetOutcome() != mover.OutcomeFailed || end.GetFailure().GetCode() != "request.mode" {
		t.Errorf("end of the restore that put: %v", end)
	}
	if ev := h.events(b); !strings.Contains(ev["connection.made"], "TLS") {
		t.Errorf("events do not say how the agent connected: %v", ev)
	}
}

func TestABackupMayReadMetadataOnly(t *testing.T) {
	h := newHost(t)
	a := h.backup(text)
	b := newAttempt()
	req := h.request(b, mover.ModeBackup)
	req.ReadablePoints = []string{a.String()}
	c := h.connect(b, h.startMover(req))
	content, err := c.Point(t.Context(), a.String())
	must(t, err)
	p, err := point.Parse(content)
	must(t, err)
	keys := h.master.TaskKeys(h.id, "web1")
	data := keys.NewHasher().Hash(seal.KindData, text("etc/hosts"))
	have, err := c.Have(t.Context(), []seal.H{data, {1}})
	if err != nil || !cmp.Equal([]bool{true, false}, have) {
		t.Errorf("have: %v, %v", have, err)
	}
	n := 0
	err = c.Get(t.Context(), []seal.ID{p.RootID, data.ID()}, func(i int, _ []byte) error { n += 1 + i; return nil })
	if n != 1 || errs.CodeOf(err) != "chunk.not-readable" {
		t.Errorf("get: %d, %v", n, err)
	}
	must(t, c.Close())
	if end := h.server.End(b.String()); end.GetOutcome() != mover.OutcomeAborted || end.GetCommitted() {
		t.Errorf("end without a commit: %v", end)
	}
}

func TestStrangersAreRefusedAndTheTaskGoesOn(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	e := h.startMover(h.request(a, mover.ModeBackup))
	real := wire.DialConfig{Credentials: h.server.CA.Issue(t, wire.RoleAgent, "web1"), Endpoint: e, Attempt: a.String()}
	other := wiretest.NewCA(t)
	tests := map[string]func(*wire.DialConfig){
		"another computer": func(c *wire.DialConfig) { c.Credentials = h.server.CA.Issue(t, wire.RoleAgent, "web2") },
		"another role":     func(c *wire.DialConfig) { c.Credentials = h.server.CA.Issue(t, wire.RoleTransport, "web1") },
		"another authority": func(c *wire.DialConfig) {
			c.Credentials.Certificate = other.Issue(t, wire.RoleAgent, "web1").Certificate
		},
		"no certificate": func(c *wire.DialConfig) { c.Credentials.Certificate.Certificate = nil },
		"another task's key": func(c *wire.DialConfig) {
			c.Endpoint.TaskKey = make([]byte, 32)
		},
		"another task": func(c *wire.DialConfig) { c.Attempt = newAttempt().String() },
		"a key without a certificate, by the socket": func(c *wire.DialConfig) {
			c.Endpoint.TaskKey, c.Endpoint.Socket = make([]byte, 32), e.GetSocket()
		},
	}
	refused := 0
	try := func(name string, change func(*wire.DialConfig)) {
		cfg := real
		cfg.Endpoint = proto.CloneOf(e)
		cfg.Endpoint.Socket = ""
		change(&cfg)
		c, err := wire.DialData(t.Context(), cfg)
		if err == nil {
			_ = c.Close()
		}
		if errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: %v (kind %s)", name, err, errs.KindOf(err))
		}
		refused++
		if cfg.Endpoint.GetSocket() != "" {
			refused++ // at both doors
		}
	}
	for name, change := range tests {
		try(name, change)
	}
	c := h.connect(a, e)
	d := h.send(c, a, someFiles, text)
	try("the same key again", func(*wire.DialConfig) {})
	for name, change := range tests {
		try(name+", later", change)
	}
	must(t, c.Commit(t.Context(), d))
	must(t, c.Close())
	if end := h.server.End(a.String()); !end.GetCommitted() {
		t.Errorf("end: %v", end)
	}
	h.server.Set(func() {
		n := 0
		for _, ev := range h.server.Events[a.String()] {
			if ev.GetCode() == "connection.refused" {
				n++
				if !strings.Contains(ev.GetText(), "127.0.0.1") && !strings.Contains(ev.GetText(), "unix socket") {
					t.Errorf("a refusal does not say where from: %s", ev.GetText())
				}
			}
		}
		if n != refused {
			t.Errorf("%d refusals logged, want %d", n, refused)
		}
	})
}

func TestAKilledMoverIsReportedLost(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
	h.send(c, a, someFiles, text)
	h.kill(a.String())
	end := h.server.End(a.String())
	if end.GetOutcome() != mover.OutcomeFailed || end.GetFailure().GetCode() != "mover.lost" || end.GetFailure().GetKind() != string(errs.Unavailable) || !strings.Contains(end.GetFailure().GetMessage(), "killed (signal 9)") {
		t.Errorf("end: %v", end)
	}
	if err := c.Commit(t.Context(), point.Draft{Type: point.Complete}); errs.CodeOf(err) != "mover.lost" {
		t.Errorf("commit to a killed mover: %v", err)
	}
	_ = c.Close()
	committed := h.fence(a)
	if committed {
		t.Error("an attempt that was never committed is said to be")
	}
	h.backup(text) // the repository is none the worse
}

func (h *host) fence(a point.Attempt) (committed bool) {
	h.t.Helper()
	return h.settle(a).GetCommitted()
}

func (h *host) settle(a point.Attempt) *keepwardv1.FenceAttemptResponse {
	h.t.Helper()
	res, err := h.calls().FenceAttempt(h.t.Context(), connect.NewRequest(&keepwardv1.FenceAttemptRequest{
		RepositoryPath: h.path, RepositoryId: h.id[:], Order: order(a), Reason: "lost",
	}))
	if err != nil {
		h.t.Fatal(err)
	}
	return res.Msg
}

func TestSettlingTellsWhetherThereIsACheckpointToGoOnFrom(t *testing.T) {
	h := newHost(t)
	with, without := newAttempt(), newAttempt()
	for a, checkpointed := range map[point.Attempt]bool{with: true, without: false} {
		c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
		d := h.send(c, a, someFiles, text)
		if d.Type = point.Checkpoint; checkpointed {
			must(t, c.Checkpoint(t.Context(), d))
		}
		res := h.settle(a)
		if res.GetCommitted() || res.GetCheckpoint() != checkpointed {
			t.Errorf("settled as committed %v, with a checkpoint %v; want %v", res.GetCommitted(), res.GetCheckpoint(), checkpointed)
		}
		_ = c.Close()
	}
}

// A server that was replaced must not cut off what the new owner has ordered.
func TestAnAttemptOfTheNewOwnerIsNotFencedByTheOldOne(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
	d := h.send(c, a, someFiles, text)
	b, err := storage.OpenDir(h.path)
	must(t, err)
	r, err := repo.Open(t.Context(), b)
	must(t, err)
	_, err = r.Claim(t.Context(), repo.Owner{Term: order(a).GetTerm() + 1, Server: []byte("another")})
	must(t, errors.Join(err, r.Close()))
	_, err = h.calls().FenceAttempt(t.Context(), connect.NewRequest(&keepwardv1.FenceAttemptRequest{
		RepositoryPath: h.path, RepositoryId: h.id[:], Order: order(a), Reason: "the old one thinks that it is lost",
	}))
	if errs.CodeOf(wire.FromConnect(err)) != "repository.owner" {
		t.Errorf("the old owner settled it: %v", err)
	}
	if err := c.Commit(t.Context(), d); err != nil {
		t.Errorf("the new owner's attempt cannot commit: %v", err)
	}
	_ = c.Close()
}

func TestAFencedAttemptCannotCommit(t *testing.T) {
	h := newHost(t)
	done := h.backup(text)
	if !h.fence(done) {
		t.Error("a committed attempt was fenced")
	}
	a := newAttempt()
	c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
	d := h.send(c, a, someFiles, text)
	if h.fence(a) {
		t.Error("an attempt is said to be committed that is not")
	}
	if err := c.Commit(t.Context(), d); err == nil {
		t.Error("a fenced attempt was committed")
	}
	if end := h.server.End(a.String()); end.GetCommitted() || end.GetOutcome() == mover.OutcomeDone {
		t.Errorf("end: %v", end)
	}
	_ = c.Close()
}

func TestAStoppedMoverEndsAndTellsWhy(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
	for range 2 { // idempotent
		_, err := h.calls().StopMover(t.Context(), connect.NewRequest(&keepwardv1.StopMoverRequest{Order: order(a), Reason: "killed by admin"}))
		must(t, err)
	}
	end := h.server.End(a.String())
	if end.GetOutcome() != mover.OutcomeAborted || !strings.Contains(end.GetFailure().GetMessage(), "killed by admin") {
		t.Errorf("end: %v", end)
	}
	if err := c.Checkpoint(t.Context(), point.Draft{Type: point.Checkpoint}); !strings.Contains(err.Error(), "killed by admin") {
		t.Errorf("the agent was told: %v", err)
	}
	_ = c.Close()
	_, err := h.calls().StopMover(t.Context(), connect.NewRequest(&keepwardv1.StopMoverRequest{Order: order(newAttempt())}))
	if err != nil {
		t.Errorf("to stop what is not there: %v", err)
	}
}

func TestAnAgentThatGivesUpIsTheReason(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
	h.send(c, a, someFiles, text)
	c.Abort(errs.New(errs.NotFound, "include.missing", "none of the include paths exists").WithHint("look"))
	end := h.server.End(a.String())
	want := &keepwardv1.Failure{Kind: "not found", Code: "include.missing", Message: "none of the include paths exists", Hint: "look", Part: "agent"}
	if diff := cmp.Diff(want.String(), end.GetFailure().String()); diff != "" || end.GetOutcome() != mover.OutcomeFailed {
		t.Errorf("end %s: %s", end.GetOutcome(), diff)
	}
}

func TestAMoverOutlivesItsTransport(t *testing.T) {
	h := newHost(t)
	running, ended := newAttempt(), newAttempt()
	req := h.request(running, mover.ModeBackup)
	e := h.startMover(req)
	c2 := h.connect(ended, h.startMover(h.request(ended, mover.ModeBackup)))
	d2 := h.send(c2, ended, someFiles, text)
	c := h.connect(running, e)
	h.stop()
	must(t, c2.Commit(t.Context(), d2)) // while no transport is there
	must(t, c2.Close())
	h.start()
	if end := h.server.End(ended.String()); !end.GetCommitted() {
		t.Errorf("end of the one that ended meanwhile: %v", end)
	}
	again := h.startMover(req)
	if diff := cmp.Diff(string(e.GetTaskKey())+e.GetAddress(), string(again.GetTaskKey())+again.GetAddress()); diff != "" {
		t.Error("the same attempt got another mover")
	}
	h.server.Await("the adopted attempt in a heartbeat", func() bool {
		for _, at := range h.server.Beats[len(h.server.Beats)-1].GetAttempts() {
			if at.GetAttempt() == running.String() {
				return true
			}
		}
		return false
	})
	d := h.send(c, running, someFiles, text)
	must(t, c.Commit(t.Context(), d))
	must(t, c.Close())
	if end := h.server.End(running.String()); !end.GetCommitted() {
		t.Errorf("end of the adopted one: %v", end)
	}
	if ev := h.events(running); ev["connection.made"] == "" {
		t.Errorf("events from before the restart are missing: %v", ev)
	}
}

func TestAMoverNobodyConnectsToEnds(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	req := h.request(a, mover.ModeBackup)
	req.AgentWait = durationpb.New(100 * time.Millisecond)
	h.startMover(req)
	end := h.server.End(a.String())
	if end.GetOutcome() != mover.OutcomeFailed || end.GetFailure().GetCode() != "agent.lost" || end.GetFailure().GetPart() != "agent" {
		t.Errorf("end: %v", end)
	}
}

func TestAMoverTheServerDoesNotWantIsEnded(t *testing.T) {
	h := newHost(t)
	a := newAttempt()
	h.startMover(h.request(a, mover.ModeBackup))
	h.server.Set(func() { h.server.Drop = []string{a.String()} })
	h.server.Await("the mover to be gone", func() bool {
		dirs, _ := filepath.Glob(filepath.Join(h.data, "movers", "*"))
		return len(dirs) == 0 && len(h.server.Beats[len(h.server.Beats)-1].GetAttempts()) == 0
	})
}

func TestAStartThatCannotBeIsRefusedWithItsReason(t *testing.T) {
	h := newHost(t)
	tests := map[string]struct {
		change func(*keepwardv1.StartMoverRequest)
		kind   errs.Kind
		code   string
	}{
		"no repository":      {func(r *keepwardv1.StartMoverRequest) { r.RepositoryPath = t.TempDir() }, errs.NotFound, "repository.not-found"},
		"another repository": {func(r *keepwardv1.StartMoverRequest) { r.Keys.RepositoryId = make([]byte, 16) }, errs.Invalid, "repository.other"},
		"relative path":      {func(r *keepwardv1.StartMoverRequest) { r.RepositoryPath = "repository" }, errs.Invalid, "repository.path"},
		"no keys":            {func(r *keepwardv1.StartMoverRequest) { r.Keys = nil }, errs.Invalid, "order.keys"},
		"unknown mode":       {func(r *keepwardv1.StartMoverRequest) { r.Mode = "delete" }, errs.Invalid, "order.mode"},
		"no agent":           {func(r *keepwardv1.StartMoverRequest) { r.Agent = "" }, errs.Invalid, "order.agent"},
		"bad attempt":        {func(r *keepwardv1.StartMoverRequest) { r.Order.Attempt = "../../etc" }, errs.Invalid, "attempt.name"},
		"lower term":         {func(r *keepwardv1.StartMoverRequest) { r.Order.Term = 0 }, errs.Denied, "order.term"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			req := h.request(newAttempt(), mover.ModeBackup)
			tt.change(req)
			_, err := h.calls().StartMover(t.Context(), connect.NewRequest(req))
			if errs.KindOf(err) != tt.kind || errs.CodeOf(err) != tt.code {
				t.Errorf("got %v (kind %s, code %s)", err, errs.KindOf(err), errs.CodeOf(err))
			}
		})
	}
	if dirs, _ := os.ReadDir(filepath.Join(h.data, "movers")); len(dirs) != 0 {
		t.Errorf("%d directories are left", len(dirs))
	}
}

func TestRepositoriesAreProbedCreatedInspectedAndListed(t *testing.T) {
	h := newHost(t)
	_, err := h.calls().CreateRepository(t.Context(), connect.NewRequest(h.creation()))
	if errs.KindOf(err) != errs.Exists {
		t.Errorf("created twice: %v", err)
	}
	probe := h.creation()
	probe.Path, probe.ProbeOnly = filepath.Join(t.TempDir(), "new"), true
	res, err := h.calls().CreateRepository(t.Context(), connect.NewRequest(probe))
	if err != nil || res.Msg.GetCanonicalPath() != probe.GetPath() || res.Msg.GetFreeBytes() <= 0 {
		t.Errorf("probe: %v, %v", res, err)
	}
	if _, err := os.Stat(probe.GetPath()); !os.IsNotExist(err) {
		t.Errorf("the probe left something: %v", err)
	}
	a := h.backup(text)
	in, err := h.calls().InspectRepository(t.Context(), connect.NewRequest(&keepwardv1.InspectRepositoryRequest{Path: h.path, RepositoryId: h.id[:], Term: 1}))
	if err != nil || in.Msg.GetPoints() != 1 || in.Msg.GetPacks() < 2 || in.Msg.GetSizeBytes() == 0 {
		t.Errorf("inspect: %v, %v", in, err)
	}
	list, err := h.calls().ListPoints(t.Context(), connect.NewRequest(&keepwardv1.TransportListPointsRequest{RepositoryPath: h.path, RepositoryId: h.id[:], Term: 1}))
	if err != nil || len(list.Msg.GetPoints()) != 1 || list.Msg.GetPoints()[0].GetId() != a.String() {
		t.Errorf("list: %v, %v", list, err)
	}
}
