package test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"keepward/test/site"
)

// scriptSite is a site with a job whose scripts note that they ran.
type scriptSite struct {
	*fleet
	notes   string // one line for each script
	scripts string // of the computer
}

func newScriptSite(t *testing.T) *scriptSite {
	t.Helper()
	f := newFleet(t, "web1")
	dir := tempDir(t)
	s := &scriptSite{fleet: f, notes: filepath.Join(dir, "notes"), scripts: dir}
	f.must(os.MkdirAll(s.onServer(), 0o755))
	f.must(os.MkdirAll(filepath.Join(dir, "src"), 0o755))
	f.must(os.WriteFile(filepath.Join(dir, "src", "f"), []byte("content"), 0o644))
	return s
}

// onServer is the folder of the scripts that may run on the server.
func (s *scriptSite) onServer() string { return filepath.Join(s.Server.DataDir, "scripts") }

// script writes a script that notes its place and its session, and does more.
func (s *scriptSite) script(dir, name, more string) string {
	s.t.Helper()
	path := filepath.Join(dir, name)
	s.must(os.WriteFile(path, []byte("#!/bin/sh\necho \"$KEEPWARD_PLACE $KEEPWARD_STATUS\" >>"+s.notes+"\n"+more+"\n"), 0o755))
	return path
}

// job makes the job with a script at every place.
func (s *scriptSite) job(args ...string) {
	s.t.Helper()
	for _, name := range []string{"before", "after"} {
		s.script(s.onServer(), name, "")
	}
	all := []string{
		"--server-before", "before", "--server-after", "after",
		"--agent-before", s.script(s.scripts, "agent-before", "echo preparing"), "--agent-after", s.script(s.scripts, "agent-after", ""),
		"--pre-freeze", s.script(s.scripts, "freeze", ""), "--post-thaw", s.script(s.scripts, "thaw", ""),
	}
	s.createJob("docs", "web1", []string{filepath.Join(s.scripts, "src")}, append(all, args...)...)
}

// noted are the notes since the last call.
func (s *scriptSite) noted() []string {
	s.t.Helper()
	text, err := os.ReadFile(s.notes)
	if !os.IsNotExist(err) {
		s.must(err)
		s.must(os.Remove(s.notes))
	}
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		out = append(out, strings.TrimSpace(line))
	}
	return out
}

func (s *scriptSite) notedAre(want ...string) {
	s.t.Helper()
	if got := s.noted(); !slices.Equal(got, want) {
		s.t.Errorf("scripts ran as %q, want %q", got, want)
	}
}

func TestScriptsRunInTheirOrder(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	s.job()
	done := s.run("docs")
	s.notedAre("server-before", "agent-before", "pre-freeze", "post-thaw", "agent-after Completed", "server-after Completed")
	if log := s.sessionLog(done.GetId()); !strings.Contains(log, "agent-before: preparing") {
		t.Errorf("the log lacks what a script printed:\n%s", log)
	}
}

func TestScriptsThatCannotRunFailTheTask(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	s.job()
	path := filepath.Join(s.scripts, "agent-before")
	for _, c := range []struct {
		name string
		do   func()
		say  string
	}{
		{"fails", func() { s.script(s.scripts, "agent-before", "exit 5") }, "exit status 5"},
		{"not executable", func() { s.must(os.Chmod(path, 0o644)) }, "not executable"},
		{"missing", func() { s.must(os.Remove(path)) }, "no such file"},
	} {
		c.do()
		last := s.final(s.start("docs"), "Failed")
		if !strings.Contains(last.GetFailure().GetMessage(), c.say) {
			t.Errorf("%s: failed with %q", c.name, last.GetFailure().GetMessage())
		}
		got := s.noted()
		if got[len(got)-1] != "server-after Failed" || !slices.Contains(got, "agent-after Failed") || slices.Contains(got, "pre-freeze") {
			t.Errorf("%s: scripts ran as %q", c.name, got)
		}
	}
	s.do("job", "edit", "docs", "--agent-before", path, "--script-go-on")
	s.final(s.start("docs"), "Completed w/ warnings")
}

func TestOnTheServerOnlyScriptsOfItsFolderRun(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	outside := s.script(s.scripts, "outside", "")
	s.fails(2, []string{"server-before"}, "job", "create", "docs", "--computer", "web1", "--repository", "main", "--include", s.scripts,
		"--server-before", outside)
	s.job()
	s.must(os.Remove(filepath.Join(s.onServer(), "before")))
	s.must(os.Symlink(outside, filepath.Join(s.onServer(), "before")))
	last := s.final(s.start("docs"), "Failed")
	if last.GetFailure().GetCode() != "script.not-allowed" {
		t.Errorf("failed with %v", last.GetFailure())
	}
	s.notedAre("server-after Failed")
}

func TestAScriptThatHangsIsEnded(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	s.job()
	pid := filepath.Join(s.scripts, "pid")
	hangs := s.script(s.scripts, "hangs", "sleep 1000 & echo $! >"+pid+"; wait")
	s.do("job", "edit", "docs", "--agent-before", hangs, "--script-limit", "1s")
	id := s.start("docs")
	last := s.final(id, "Failed")
	if last.GetFailure().GetCode() != "script.time-limit" {
		t.Errorf("failed with %v", last.GetFailure())
	}
	if log := s.sessionLog(id); !strings.Contains(log, "it took longer than 1s and was ended") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	s.notedAre("server-before", "agent-before", "agent-after Failed", "server-after Failed")
	text, err := os.ReadFile(pid)
	s.must(err)
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	s.must(err)
	s.must(site.Until(time.Minute, "what the script had started to end", func() (bool, error) {
		return errors.Is(syscall.Kill(child, 0), syscall.ESRCH), nil
	}))
}

// A gigabyte of output, of which the server and the agent keep kilobytes.
func TestAScriptThatPrintsAGigabyte(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	s.job()
	meter := site.StartMeter(func() []int { return []int{s.Server.Pid(), s.agent["web1"].Pid()} })
	loud := s.script(s.scripts, "loud", "head -c 1073741824 /dev/zero | tr '\\0' 'x'; echo; echo the end")
	s.do("job", "edit", "docs", "--agent-before", loud, "--script-limit", "5m")
	id := s.start("docs")
	s.final(id, "Completed")
	log := s.sessionLog(id)
	if !strings.Contains(log, "the end") || !strings.Contains(log, "bytes of output are left out") || len(log) > 256<<10 {
		t.Errorf("the log has %d bytes", len(log))
	}
	for pid, used := range meter.Stop() {
		t.Logf("process %d: at most %d MiB, and %d bytes of log", pid, used.Peak>>20, len(log))
		if used.Peak > 256<<20 {
			t.Errorf("process %d took %d MiB", pid, used.Peak>>20)
		}
	}
}

// scriptKill is a process that is killed while the script of a place runs, and what comes of it.
type scriptKill struct {
	place, file, dir string
	proc             *site.Proc
	want             string
	told             [2]string // agent-after and server-after
}

const (
	completed    = "Completed"
	withWarnings = "Completed w/ warnings"
)

// killed runs the job, kills the process and starts it again. No script runs twice, and the
// session ends.
func (s *scriptSite) killed(k scriptKill) {
	s.t.Helper()
	s.script(k.dir, k.file, "while [ ! -e "+s.notes+".go ]; do sleep 0.05; done")
	id := s.start("docs")
	begun := func(place string) {
		s.must(site.Until(time.Minute, place+" to begin", func() (bool, error) {
			text, err := os.ReadFile(s.notes)
			if os.IsNotExist(err) {
				return false, nil
			}
			return strings.Contains(string(text), place), err
		}))
	}
	begun(k.place)
	k.proc.Kill()
	if k.place == "pre-freeze" { // what was frozen is let go without the agent
		begun("post-thaw")
	}
	s.must(os.WriteFile(s.notes+".go", nil, 0o644))
	s.must(k.proc.Start())
	s.final(id, k.want)
	if log := s.sessionLog(id); strings.Contains(log, "how it ended is not known") != (k.want == withWarnings) {
		s.t.Errorf("%s killed during %s; the log:\n%s", k.proc.Name, k.place, log)
	}
	ran := slices.CompactFunc(s.noted(), func(a, b string) bool { return a == b && a == "post-thaw" }) // that may
	want := []string{"server-before", "agent-before", "pre-freeze", "post-thaw", "agent-after " + k.told[0], "server-after " + k.told[1]}
	if k.place == "pre-freeze" { // thawed by the watchdog; the next attempt takes another state
		want = slices.Insert(want, 4, "pre-freeze", "post-thaw")
	}
	if !slices.Equal(ran, want) {
		s.t.Errorf("%s killed during %s: scripts ran as %q, want %q", k.proc.Name, k.place, ran, want)
	}
	s.must(os.Remove(s.notes + ".go"))
	s.script(k.dir, k.file, "")
}

func TestScriptsOutliveTheServer(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	s.job()
	for _, k := range []scriptKill{
		{"server-before", "before", s.onServer(), s.Server, withWarnings, [2]string{withWarnings, withWarnings}},
		{"agent-before", "agent-before", s.scripts, s.Server, completed, [2]string{completed, completed}},
		{"agent-after", "agent-after", s.scripts, s.Server, completed, [2]string{completed, completed}},
		{"server-after", "after", s.onServer(), s.Server, withWarnings, [2]string{completed, completed}},
	} {
		s.killed(k)
	}
}

func TestScriptsOfAnAgentThatIsKilled(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t)
	s.job()
	agent := s.agent["web1"]
	for _, k := range []scriptKill{
		{"agent-before", "agent-before", s.scripts, agent, withWarnings, [2]string{withWarnings, withWarnings}},
		{"pre-freeze", "freeze", s.scripts, agent, withWarnings, [2]string{withWarnings, withWarnings}},
		{"agent-after", "agent-after", s.scripts, agent, withWarnings, [2]string{completed, withWarnings}},
	} {
		s.killed(k)
	}
}
