package agent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/wire"
	"keepward/internal/wire/wiretest"
)

// shell writes a script.
func shell(t *testing.T, text string) *keepwardv1.Script {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return &keepwardv1.Script{Path: path}
}

// ask asks for a script of a task once.
func (s *site) ask(task string, p job.Place, one *keepwardv1.Script, wait time.Duration) (*keepwardv1.ScriptEnd, error) {
	s.t.Helper()
	res, err := s.client.RunScript(s.t.Context(), connect.NewRequest(&keepwardv1.RunScriptRequest{
		Order: &keepwardv1.Order{Task: task, Term: 5}, Place: string(p), Script: one, Wait: durationpb.New(wait),
		Variables: map[string]string{job.VarPlace: string(p), job.VarJob: "docs"},
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetEnd(), nil
}

// ended asks until it is known how a script ended.
func (s *site) ended(task string, p job.Place, one *keepwardv1.Script) *keepwardv1.ScriptEnd {
	s.t.Helper()
	for {
		end, err := s.ask(task, p, one, 10*time.Second)
		switch {
		case errs.KindOf(err) == errs.Unavailable: // the link is still that of before its restart
			time.Sleep(2 * time.Millisecond)
			s.call()
		case err != nil:
			s.t.Fatal(err)
		case end != nil:
			return end
		}
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// eventually waits until a file has something in it.
func eventually(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); content(t, path) == ""; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is still empty", path)
		}
	}
}

func TestAScriptRunsOnceHoweverOftenItIsAsked(t *testing.T) {
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover()}
	stop := s.start()
	count := filepath.Join(t.TempDir(), "count")
	one := shell(t, "echo x >>"+count+`; echo "$KEEPWARD_JOB $KEEPWARD_PLACE"; exit 3`)
	first := s.ended("t1", job.AgentBefore, one)
	if first.GetExit() != 3 || first.GetFailure().GetCode() != "script.failed" || first.GetLost() {
		t.Errorf("ended with %v", first)
	}
	if d := cmp.Diff([]string{"docs agent-before"}, first.GetOutput()); d != "" {
		t.Errorf("output (-want +got):\n%s", d)
	}
	_ = s.ended("t1", job.AgentBefore, one)
	stop()
	s.start()
	again := s.ended("t1", job.AgentBefore, one)
	if again.GetExit() != 3 || again.GetFailure().GetCode() != "script.failed" {
		t.Errorf("after a restart it is said to have ended with %v", again)
	}
	_ = s.ended("t1", job.AgentAfter, one) // another place is another script
	_ = s.ended("t2", job.AgentBefore, one)
	if got := content(t, count); got != "x\nx\nx\n" {
		t.Errorf("the scripts ran %d times, want 3", strings.Count(got, "x"))
	}
}

func TestAScriptGoesOnUntilItIsStopped(t *testing.T) {
	s := newSite(t)
	begun := filepath.Join(t.TempDir(), "begun")
	one := shell(t, "echo x >"+begun+"; while :; do sleep 0.01; done")
	if end, err := s.ask("t1", job.AgentBefore, one, 0); end != nil || err != nil {
		t.Fatalf("ended with %v, %v", end, err)
	}
	eventually(t, begun)
	_, err := s.client.StopScript(t.Context(), connect.NewRequest(&keepwardv1.StopScriptRequest{
		Order: &keepwardv1.Order{Task: "t1", Term: 5}, Place: "agent-before", Reason: "killed by ann",
	}))
	if err != nil {
		t.Fatal(err)
	}
	end := s.ended("t1", job.AgentBefore, one)
	if end.GetFailure().GetCode() != "script.stopped" || !strings.Contains(end.GetFailure().GetMessage(), "killed by ann") || end.GetLost() {
		t.Errorf("ended with %v", end)
	}
}

func TestAScriptThatWasStoppedBeforeItBeganNeverDoes(t *testing.T) {
	s := newSite(t)
	_, err := s.client.StopScript(t.Context(), connect.NewRequest(&keepwardv1.StopScriptRequest{
		Order: &keepwardv1.Order{Task: "t1", Term: 5}, Place: "agent-before", Reason: "killed by ann",
	}))
	if err != nil {
		t.Fatal(err)
	}
	begun := filepath.Join(t.TempDir(), "begun")
	if end := s.ended("t1", job.AgentBefore, shell(t, "touch "+begun)); end.GetFailure().GetCode() != "script.stopped" {
		t.Errorf("ended with %v", end)
	}
	if _, err := os.Stat(begun); !os.IsNotExist(err) {
		t.Errorf("it was started: %v", err)
	}
}

func TestAScriptThatWentDownWithTheAgentIsLost(t *testing.T) {
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover()}
	stop := s.start()
	begun := filepath.Join(t.TempDir(), "begun")
	one := shell(t, "echo x >>"+begun+"; while :; do sleep 0.01; done")
	if _, err := s.ask("t1", job.AgentBefore, one, 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, begun)
	stop()
	s.start()
	end := s.ended("t1", job.AgentBefore, one)
	if !end.GetLost() || end.GetFailure().GetCode() != "script.lost" {
		t.Errorf("ended with %v", end)
	}
	if got := content(t, begun); got != "x\n" {
		t.Errorf("it was started again: %q", got)
	}
	// One whose start alone is in the journal: the agent was killed.
	k := scriptKey{"t2", job.AgentBefore}
	if err := (journal{filepath.Join(s.dir, "scripts")}).write(k, newEntry(k, one, nil)); err != nil {
		t.Fatal(err)
	}
	if end := s.ended("t2", job.AgentBefore, one); !end.GetLost() {
		t.Errorf("ended with %v", end)
	}
}

func TestScriptsThatAreNoneAreRefused(t *testing.T) {
	s := newSite(t)
	for _, c := range []struct{ task, place string }{
		{"../../etc", "agent-before"}, {"", "agent-before"}, {"t1", "server-before"}, {"t1", "elsewhere"}, {"t1", ""},
	} {
		if _, err := s.ask(c.task, job.Place(c.place), shell(t, "true"), 0); errs.KindOf(err) != errs.Invalid {
			t.Errorf("script %q of task %q: %v", c.place, c.task, err)
		}
	}
	if end := s.ended("t1", job.AgentBefore, &keepwardv1.Script{Path: "relative"}); end.GetFailure().GetCode() != "script.missing" {
		t.Errorf("a script without a folder: %v", end)
	}
	_, err := s.client.RunScript(t.Context(), connect.NewRequest(&keepwardv1.RunScriptRequest{
		Order: &keepwardv1.Order{Task: "t1", Term: 4}, Place: "agent-after", Script: shell(t, "true"),
	}))
	if errs.KindOf(err) != errs.Denied {
		t.Errorf("an order of a lower term: %v", err)
	}
}

// frozen starts a backup with scripts around its beginning.
func (s *site) frozen(pre, thaw *keepwardv1.Script) (*keepwardv1.AttemptEnd, string) {
	s.t.Helper()
	src := s.t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "f"), []byte("x"), 0o644); err != nil {
		s.t.Fatal(err)
	}
	order, endpoint := s.order()
	_, err := s.client.StartBackup(s.t.Context(), connect.NewRequest(&keepwardv1.StartBackupRequest{
		Order: order, Mover: endpoint, Keys: wire.KeysToProto(s.mover.keys), Compression: "zstd",
		Files:   &keepwardv1.FileSelection{Include: []string{src}},
		Scripts: &keepwardv1.Scripts{PreFreeze: pre, PostThaw: thaw}, ScriptVariables: map[string]string{job.VarPlace: "pre-freeze"},
	}))
	if err != nil {
		s.t.Fatal(err)
	}
	return s.server.End(order.GetAttempt()), order.GetAttempt()
}

func TestFreezeAndThawRunBeforeAnythingIsRead(t *testing.T) {
	s := newSite(t)
	seen := filepath.Join(t.TempDir(), "seen")
	script := func(then string) *keepwardv1.Script { return shell(t, `echo "$KEEPWARD_PLACE" >>`+seen+"; "+then) }
	if end, _ := s.frozen(script("true"), script("true")); end.GetOutcome() != "done" {
		t.Fatalf("ended with %v", end)
	}
	// Another attempt of the same task takes another state, and so freezes again.
	end, id := s.frozen(script("true"), script("true"))
	if end.GetOutcome() != "done" {
		t.Fatalf("ended with %v", end)
	}
	if got := strings.Fields(content(t, seen)); !slices.Equal(got, []string{"pre-freeze", "post-thaw", "pre-freeze", "post-thaw"}) {
		t.Errorf("scripts that ran: %q", got)
	}
	if said := s.said(id, "snapshot.hold"); len(said) != 1 || !heldFor.MatchString(said[0]) {
		t.Errorf("of the hold it says %q", said)
	}
	if left := s.journal(); len(left) > 0 {
		t.Errorf("in the journal there is still %v", left)
	}
}

func TestAFailedFreezeIsThawedAndEndsTheAttempt(t *testing.T) {
	for _, goOn := range []bool{false, true} {
		s := newSite(t)
		thawed := filepath.Join(t.TempDir(), "thawed")
		pre := shell(t, "exit 1")
		pre.GoOn = goOn
		end, _ := s.frozen(pre, shell(t, "echo x >"+thawed))
		want, code := "failed", "script.failed"
		if goOn {
			want, code = "done", ""
		}
		if end.GetOutcome() != want || end.GetFailure().GetCode() != code {
			t.Errorf("go on %v: ended with %v", goOn, end)
		}
		if content(t, thawed) == "" {
			t.Errorf("go on %v: it stays frozen", goOn)
		}
	}
}

func TestWhatAKilledAgentHasFrozenIsThawedAtItsStart(t *testing.T) {
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover()}
	thawed := filepath.Join(t.TempDir(), "thawed")
	k := scriptKey{"t1", job.PreFreeze}
	e := newEntry(k, shell(t, "true"), map[string]string{job.VarPlace: "pre-freeze"})
	e.Thaw = shell(t, `echo "$KEEPWARD_PLACE" >>`+thawed)
	if err := (journal{filepath.Join(s.dir, "scripts")}).write(k, e); err != nil {
		t.Fatal(err)
	}
	stop := s.start()
	eventually(t, thawed)
	stop()
	s.start()()
	if got := content(t, thawed); got != "post-thaw\n" {
		t.Errorf("thawed %q, want once", got)
	}
}

func TestTheJournalForgetsWhatNobodyAsksFor(t *testing.T) {
	j := journal{t.TempDir()}
	old, fresh := scriptKey{"old", job.AgentBefore}, scriptKey{"fresh", job.AgentBefore}
	for _, k := range []scriptKey{old, fresh} {
		if err := j.write(k, newEntry(k, &keepwardv1.Script{Path: "/s"}, nil)); err != nil {
			t.Fatal(err)
		}
	}
	e, err := j.read(old)
	if err != nil {
		t.Fatal(err)
	}
	e.Started.Seconds -= int64((journalKeep + time.Hour) / time.Second)
	if err := j.write(old, e); err != nil {
		t.Fatal(err)
	}
	j.forgetOld(time.Now())
	if e, _ := j.read(old); e != nil {
		t.Error("the old one is still there")
	}
	if e, _ := j.read(fresh); e == nil {
		t.Error("the fresh one is gone")
	}
	if err := os.WriteFile(j.path(fresh), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := j.read(fresh); e == nil || e.GetEnd() != nil || err != nil {
		t.Errorf("an entry that is torn: %v, %v; it was started", e, err)
	}
}
