package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/snapshot"
	"keepward/internal/snapshot/snapshottest"
	"keepward/internal/wire/wiretest"
)

// roles are what this program does as a process of its own.
var roles = map[string]func() error{
	roleWatchdog: func() error { return Watchdog(context.Background(), os.Stdin, os.Stdout) },
	roleAgent:    runAgent,
}

const (
	roleWatchdog = "watchdog"
	roleAgent    = "agent"
)

// childConfig is what an agent that is a process of its own reads.
type childConfig struct {
	Dir, Server, Token string
	Limit              time.Duration
	// Act is the signal that it sends to itself once it has taken a snapshot; 0: none.
	Act syscall.Signal
}

func runAgent() error {
	var c childConfig
	if err := json.NewDecoder(os.Stdin).Decode(&c); err != nil {
		return err
	}
	taker := snapshot.NewTaker(filepath.Join(c.Dir, "snapshots", "mounts"))
	taker.Providers = []snapshot.Provider{&acting{snapshot.NewBtrfs(), c.Act}, snapshot.NewNone()}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return Run(ctx, Config{
		DataDir: c.Dir, Server: c.Server, JoinToken: c.Token, Name: "web1", Snapshots: taker, Watchdog: []string{roleWatchdog}, HoldLimit: c.Limit,
	})
}

// acting does something to its process while an application is held.
type acting struct {
	snapshot.Provider
	act syscall.Signal
}

func (p *acting) Create(ctx context.Context, v snapshot.Volume, n snapshot.Name, wanted func(string) bool) (*snapshot.Snapshot, error) {
	s, err := p.Provider.Create(context.WithoutCancel(ctx), v, n, wanted)
	if p.act != 0 {
		// To this very thread: it does not go on before the signal has done its work.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err = errors.Join(err, unix.Tgkill(os.Getpid(), unix.Gettid(), p.act))
	}
	return s, err
}

// startProcess starts the agent as a process of its own.
func (s *site) startProcess(act syscall.Signal) *exec.Cmd {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := json.Marshal(childConfig{Dir: s.dir, Server: s.server.Addr, Token: s.server.Token, Limit: s.limit, Act: act})
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, roleAgent)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.call()
	return cmd
}

var heldFor = regexp.MustCompile(`^the application was held for [0-9.]+(ms|s)$`)

// journal are the files that the scripts have left.
func (s *site) journal() []string {
	s.t.Helper()
	list, err := filepath.Glob(filepath.Join(s.dir, "scripts", "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// An agent that is killed at any moment of a hold leaves nothing held: its watchdog ends what
// freezes, and thaws. The next start thaws nothing again, and has no snapshot.
func TestAKilledAgentHoldsNothing(t *testing.T) {
	const loop = "; while [ ! -e %go ]; do sleep 0.01; done"
	for _, c := range []struct {
		name, pre, thaw string
		act             syscall.Signal // by itself, when it has taken the snapshot
		lost            bool
	}{
		{name: "while it freezes", pre: loop, lost: true},
		{name: "while it holds", act: syscall.SIGKILL},
		{name: "while it thaws", thaw: loop},
	} {
		t.Run(c.name, func(t *testing.T) {
			mount, device := snapshottest.Btrfs(t)
			put(t, filepath.Join(mount, "f"), "x")
			dir := t.TempDir()
			frozen, thawed, gone := filepath.Join(dir, "frozen"), filepath.Join(dir, "thawed"), filepath.Join(dir, "go")
			s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), limit: time.Hour}
			script := func(note, then string) *keepwardv1.Script {
				return shell(t, "echo $$ >>"+note+strings.ReplaceAll(then, "%go", gone)+"; echo done >>"+note)
			}
			scripts := &keepwardv1.Scripts{PreFreeze: script(frozen, c.pre), PostThaw: script(thawed, c.thaw)}
			again := func(m *keepwardv1.StartBackupRequest) { m.Scripts = scripts }
			agent := s.startProcess(c.act)
			id := s.snapshotted(mount, again)
			if c.act == 0 {
				at := frozen
				if c.pre == "" {
					at = thawed
				}
				eventually(t, at)
				if err := agent.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			_ = agent.Wait() // killed
			eventually(t, thawed)
			if c.lost {
				if pid := strings.Fields(content(t, frozen)); len(pid) != 1 || alive(t, pid[0]) {
					t.Errorf("it thaws and what freezes still runs: %q", pid)
				}
			}
			put(t, gone, "")
			s.start()
			if end := s.server.End(id); end.GetFailure().GetCode() != "agent.restarted" {
				t.Errorf("ended with %v", end)
			}
			// The next attempt waits for the watchdog, and has something to tell of it.
			s.call()
			id = s.snapshotted(mount, again)
			if end := s.server.End(id); end.GetOutcome() != "done" {
				t.Fatalf("ended with %v", end)
			}
			if n := strings.Count(content(t, thawed), "done"); n != 2 {
				t.Errorf("two holds were thawed %d times", n)
			}
			if lost := len(s.said(id, "script.lost")); lost != 0 != c.lost {
				t.Errorf("%d scripts are said to be lost", lost)
			}
			if left := append(ours(t, device), s.journal()...); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

func alive(t *testing.T, pid string) bool {
	t.Helper()
	state, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(state), ") Z ")
}

// An agent that stands still does not hold longer than it may: what it has taken by then does not
// count.
func TestAnAgentThatStandsStillHoldsNothing(t *testing.T) {
	mount, device := snapshottest.Btrfs(t)
	put(t, filepath.Join(mount, "f"), "x")
	thawed := filepath.Join(t.TempDir(), "thawed")
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), limit: 200 * time.Millisecond}
	agent := s.startProcess(syscall.SIGSTOP)
	id := s.snapshotted(mount, func(m *keepwardv1.StartBackupRequest) {
		m.SnapshotRetries = 0
		m.Scripts = &keepwardv1.Scripts{PreFreeze: shell(t, "true"), PostThaw: shell(t, "echo x >>"+thawed)}
	})
	eventually(t, thawed)
	state, err := os.ReadFile("/proc/" + strconv.Itoa(agent.Process.Pid) + "/stat")
	if err != nil || !strings.Contains(string(state), ") T ") {
		t.Errorf("the agent does not stand still: %s, %v", state, err)
	}
	if err := agent.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if end := s.server.End(id); end.GetFailure().GetCode() != "snapshot.held" {
		t.Errorf("ended with %v", end)
	}
	if got := content(t, thawed); got != "x\n" {
		t.Errorf("thawed %q, want once", got)
	}
	if err := errors.Join(agent.Process.Signal(syscall.SIGTERM), agent.Wait()); err != nil {
		t.Error(err)
	}
	if left := append(ours(t, device), s.journal()...); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// mean kills the watchdog of its process while that holds.
type mean struct {
	snapshot.Provider
	t *testing.T
}

func (p mean) Create(ctx context.Context, v snapshot.Volume, n snapshot.Name, wanted func(string) bool) (*snapshot.Snapshot, error) {
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		p.t.Error(err)
	}
	for _, f := range all {
		stat, err := os.ReadFile(f)
		if err != nil {
			continue // gone meanwhile
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); err != nil || len(f) < 2 || f[1] != strconv.Itoa(os.Getpid()) || !strings.Contains(string(line), "\x00"+roleWatchdog) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			p.t.Error(err)
		}
	}
	return p.Provider.Create(ctx, v, n, wanted)
}

func TestAWatchdogThatIsKilledIsReplaced(t *testing.T) {
	taker := snapshot.NewTaker(t.TempDir())
	taker.Providers, taker.Volumes = []snapshot.Provider{mean{snapshot.NewNone(), t}}, disk
	thawed := filepath.Join(t.TempDir(), "thawed")
	s := &site{t: t, server: wiretest.NewServer(t), dir: t.TempDir(), mover: newMover(), shots: taker, watchdog: true, limit: time.Hour}
	s.start()
	id := s.snapshotted(t.TempDir(), func(m *keepwardv1.StartBackupRequest) {
		m.SnapshotRetries = 0
		m.Scripts = &keepwardv1.Scripts{PreFreeze: shell(t, "true"), PostThaw: shell(t, "echo x >>"+thawed)}
	})
	if end := s.server.End(id); end.GetFailure().GetCode() != "snapshot.watchdog" {
		t.Errorf("ended with %v", end)
	}
	if got := content(t, thawed); got != "x\n" {
		t.Errorf("thawed %q, want once", got)
	}
}

// Who ends a service ends all of its processes: a thaw that was just beginning is run again.
func TestAThawThatIsEndedBySomebodyElseIsRunAgain(t *testing.T) {
	s := newSite(t)
	thawed := filepath.Join(t.TempDir(), "thawed")
	end, id := s.frozen(shell(t, "true"), shell(t, "[ -e "+thawed+".1 ] || { touch "+thawed+".1; kill -TERM $$; }; echo x >>"+thawed))
	if end.GetOutcome() != "done" || content(t, thawed) != "x\n" {
		t.Errorf("thawed %q, ended with %v", content(t, thawed), end)
	}
	if said := s.said(id, "script.failed"); len(said) > 0 {
		t.Errorf("said: %q", said)
	}
}

// What an earlier version of the agent, or one whose watchdog was killed with it, has left frozen
// is thawed before the task is held anew.
func TestAHoldWaitsForTheOneBefore(t *testing.T) {
	dir := t.TempDir()
	j, seen := journal{filepath.Join(dir, "journal")}, filepath.Join(dir, "seen")
	note := func(text string) *keepwardv1.Script { return shell(t, "echo "+text+" >>"+seen) }
	entry := func(hold, pre, thaw string) *keepwardv1.ScriptEntry {
		e := newEntry(scriptKey{hold, job.PreFreeze}, note(pre), nil)
		e.Thaw = note(thaw)
		return e
	}
	left := entry("t1", "x", "thaw-left")
	other := entry("t2", "x", "thaw-other")
	for _, e := range []*keepwardv1.ScriptEntry{left, other} {
		if err := j.write(keyOf(e), e); err != nil {
			t.Fatal(err)
		}
	}
	ctx, release := context.WithCancelCause(t.Context())
	release(errors.New("taken"))
	w := &watchdog{journal: j, out: json.NewEncoder(&bytes.Buffer{}), limit: time.Hour, entry: entry(holdOf("t1"), "freeze", "thaw")}
	unlock, err := lockHold(t.Context(), j, "t1")
	if err != nil {
		t.Fatal(err)
	}
	if w.hold(t.Context(), ctx); content(t, seen) != "" {
		t.Errorf("while another one holds: %q", content(t, seen))
	}
	unlock()
	held, release := context.WithCancelCause(t.Context())
	time.AfterFunc(0, func() {
		for !strings.Contains(content(t, seen), "freeze") {
			time.Sleep(time.Millisecond)
		}
		release(errors.New("taken"))
	})
	w.hold(t.Context(), held)
	if got := strings.Fields(content(t, seen)); !slices.Equal(got, []string{"thaw-left", "freeze", "thaw"}) {
		t.Errorf("the scripts ran as %q", got)
	}
	// The one that is left of another task is thawed once.
	for range 2 {
		w = &watchdog{journal: j, out: json.NewEncoder(&bytes.Buffer{}), entry: other}
		w.left(t.Context())
	}
	if got := strings.Count(content(t, seen), "thaw-other"); got != 1 {
		t.Errorf("thawed %d times", got)
	}
}
