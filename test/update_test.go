package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/test/site"
)

// program builds a program of this module.
func (f *fleet) program(path, pkg string, flags ...string) {
	f.t.Helper()
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		f.t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

// versioned is the binary under test as another version, and which that is. Where it carries its mark,
// as those that make builds do, that is written over; else it is built, which takes many seconds more.
func (f *fleet) versioned(path, version string) string {
	f.t.Helper()
	b, err := os.ReadFile(binary)
	f.must(err)
	found := regexp.MustCompile(`\{keepward:[0-9A-Za-z.+_-]{6,60}\}`).FindAllIndex(b, -1)
	if len(found) != 1 {
		f.program(path, "keepward/cmd/keepward", "-ldflags", "-X main.version={keepward:"+version+"}")
		return version
	}
	mark := b[found[0][0]:found[0][1]]
	if more := len(mark) - len("{keepward:}") - len(version); more > 0 {
		version += "+" + strings.Repeat("0", more-1)
	}
	copy(mark, "{keepward:"+version+"}")
	f.must(os.WriteFile(path, b, 0o755))
	return version
}

// agentIs waits until an agent is online as a version.
func (f *fleet) agentIs(name, version string) *keepwardv1.Computer {
	f.t.Helper()
	var m keepwardv1.GetComputerResponse
	f.must(site.Until(30*time.Second, name+" online as "+version, func() (bool, error) {
		err := f.Message(&m, "computer", "show", name)
		return m.GetComputer().GetStatus() == "online" && m.GetComputer().GetAgentVersion() == version, err
	}))
	return m.GetComputer()
}

// killedOnTrial has an agent killed while a new version is on trial, and started again: it tries that
// once more, and sees the rollout fail.
func (f *fleet) killedOnTrial(name, version, says string) {
	f.t.Helper()
	var ro keepwardv1.Rollout
	f.must(f.Message(&ro, "computer", "update", name, "--version", version))
	p := f.agent[name]
	f.await("trial", func() bool { return strings.Contains(p.Log(), says) })
	p.Kill()
	f.must(p.Start())
	f.await("end of the rollout", func() bool {
		f.must(f.Message(&ro, "computer", "rollout", "show", strconv.FormatInt(ro.Id, 10)))
		return ro.Status != "active"
	})
	if got := strings.Count(p.Log(), says); got != 2 || ro.Status != "stopped" {
		f.t.Errorf("after %d trials the rollout is %s: %s", got, ro.Status, ro.Reason)
	}
}

// An agent becomes a newer version. Two that are broken on purpose, one that ends at once and one
// that never speaks to the server, make place again for it by themselves, also where the agent is killed
// meanwhile; the server says why, and backups go on.
func TestAnAgentUpdatesItselfAndGivesABrokenVersionBack(t *testing.T) {
	t.Parallel()
	needPrograms(t, "go")
	f := newFleet(t)
	dir := tempDir(t)
	home, src := filepath.Join(dir, "bin", "keepward"), filepath.Join(dir, "src")
	for _, d := range []string{filepath.Dir(home), src} {
		f.must(os.MkdirAll(d, 0o755))
	}
	f.must(os.WriteFile(filepath.Join(src, "f"), []byte("content"), 0o644))
	f.must(site.CopyFile(binary, home))
	f.Bin = home
	f.addAgent("web1")
	f.Bin = binary
	f.createJob("docs", "web1", []string{src})
	pid := f.agent["web1"].Pid()

	newer, broken := filepath.Join(dir, "newer"), filepath.Join(dir, "broken")
	good := f.versioned(newer, "99.1.0")
	f.program(broken, "keepward/test/cmd/brokenagent")
	f.do("agent-package", "import", newer)
	f.do("computer", "update", "web1", "--version", good, "--allow-downgrade", "--wait")
	f.agentIs("web1", good)
	if got := f.agent["web1"].Pid(); got != pid {
		t.Errorf("the agent's process is another one: %d, not %d", got, pid)
	}
	if _, err := os.Stat(home + ".previous"); err != nil {
		t.Errorf("the version before is not kept: %v", err)
	}

	f.do("setting", "set", "agent_trial", "3s")
	program, err := os.ReadFile(broken)
	f.must(err)
	for _, c := range []struct{ version, how, code string }{
		{"99.2.0", "exits", "update.ended"},
		{"99.3.0", "hangs", "update.no-answer"},
	} {
		path := filepath.Join(dir, c.how)
		f.must(os.WriteFile(path, append(program, "\nbroken-agent "+c.version+" "+c.how+"\n"...), 0o755))
		f.do("agent-package", "import", path, "--version", c.version)
		if c.how == "exits" {
			f.fails(1, []string{c.version, "it is still 99.1.0"}, "computer", "update", "web1", "--version", c.version, "--wait")
		} else {
			f.killedOnTrial("web1", c.version, "broken on purpose: "+c.how)
		}
		f.agentIs("web1", good)
		var status keepwardv1.GetStatusResponse
		f.must(f.Message(&status, "status"))
		said := ""
		for _, cond := range status.GetConditions() {
			if cond.GetSubject() == "web1" && cond.GetCode() == c.code {
				said = cond.GetText()
			}
		}
		if !strings.Contains(said, "broken on purpose: "+c.how) {
			t.Errorf("%s: the condition says %q; all: %v", c.how, said, status.GetConditions())
		}
	}
	f.do("group", "create", "all", "--computer", "web1")
	f.fails(2, []string{"this version failed here before"}, "computer", "update", "--group", "all", "--version", "99.3.0")
	f.run("docs")
	same(t, src, below(f.restore("web1", "latest"), src))
}
