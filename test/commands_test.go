package test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// commandSite is a site with programs whose output is stored.
type commandSite struct {
	*fleet
	dir string
}

func newCommandSite(t *testing.T, computers ...string) *commandSite {
	t.Helper()
	return &commandSite{newFleet(t, append([]string{"db1"}, computers...)...), tempDir(t)}
}

// program writes a shell script.
func (s *commandSite) program(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	s.must(os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755))
	return path
}

// dumps makes a job of commands alone.
func (s *commandSite) dumps(name string, commands ...string) {
	s.t.Helper()
	args := []string{"job", "create", name, "--computer", "db1", "--repository", "main", "--attempts", "1"}
	for _, c := range commands {
		args = append(args, "--command", c)
	}
	s.do(args...)
}

// into restores a file of the newest point into a program.
func (s *commandSite) into(path, run string, args ...string) []string {
	return append([]string{"restore", "command", "--computer", "db1", "--point", "latest", "--path", path, "--run", run}, args...)
}

func TestWhatCommandsPrintIsAFileOfThePoint(t *testing.T) {
	t.Parallel()
	s := newCommandSite(t, "db2")
	src := filepath.Join(s.dir, "src")
	s.must(os.MkdirAll(src, 0o755))
	s.must(os.WriteFile(filepath.Join(src, "f"), []byte("content"), 0o644))
	// A few chunks, with zeros between.
	dump := s.program("dump", `echo "dumping for $KEEPWARD_JOB as $KEEPWARD_COMMAND" >&2
seq 1 1500000; head -c 3000000 /dev/zero; seq 1500000 -1 1`)
	s.do("job", "create", "dumps", "--computer", "db1", "--repository", "main", "--include", src,
		"--command", "name=shop.sql,limit=10m,run="+dump+" --all", "--command", "name=empty,computer=db1,run=/bin/true", "--command", "name=bad,mode=try,run=/bin/false")
	done := s.final(s.start("dumps"), "Completed w/ errors")
	log := s.sessionLog(done.GetId())
	for _, want := range []string{"dumping for dumps as shop.sql", "it ended with exit status 0", "command bad: ", "exit status 1"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	want := s.output(dump)
	// As a file: browsed, and restored.
	listing := s.do("point", "browse", "latest", "--computer", "db1", "/~commands").Stdout
	if !strings.Contains(listing, "shop.sql") || !strings.Contains(listing, "empty") || strings.Contains(listing, "bad") {
		t.Errorf("the folder has\n%s", listing)
	}
	to := filepath.Join(s.dir, "to")
	s.do("restore", "files", "--computer", "db1", "--point", "latest", "--to", to, "--path", "/~commands", "--wait", "--yes")
	got, err := os.ReadFile(filepath.Join(to, "~commands", "shop.sql"))
	s.must(err)
	if !bytes.Equal(got, want) {
		t.Error("what was restored as a file differs")
	}
	// Into a command, on another computer too.
	for _, target := range []string{"db1", "db2"} {
		out := filepath.Join(s.dir, "got-"+target)
		load := s.program("load", `cat >"$1" && echo "loaded $KEEPWARD_FILE" >&2`)
		s.do(s.into("/~commands/shop.sql", load+" "+out, "--target", target, "--wait")...)
		got, err := os.ReadFile(out)
		s.must(err)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: what the command got differs", target)
		}
	}
	s.do(s.into(filepath.Join(src, "f"), "/usr/bin/cmp - "+filepath.Join(src, "f"), "--wait")...)
	s.do(s.into("/~commands/empty", "/usr/bin/cmp - /dev/null", "--wait")...)
}

// output is what a program prints.
func (s *commandSite) output(path string) []byte {
	s.t.Helper()
	out, err := exec.Command(path).Output()
	s.must(err)
	return out
}

// A command gets the secret of its credential from a descriptor: it is in no list of processes, no environment,
// no log and no file of the site, though the command prints it.
func TestACommandGetsTheSecretOfItsCredential(t *testing.T) {
	t.Parallel()
	s := newCommandSite(t)
	const secret = "open sesame, please"
	s.credential("shop", "dumper", secret)
	pattern, found := filepath.Join(s.dir, "pattern"), filepath.Join(s.dir, "found")
	dump := s.program("dump", `secret=$(cat <&"$KEEPWARD_SECRET_FD")
printf '%s\n' "$secret" >`+pattern+`
grep -l -a -F -f `+pattern+` /proc/[0-9]*/cmdline /proc/[0-9]*/environ >`+found+` 2>/dev/null
rm `+pattern+`
echo "it was told $secret" >&2
printf '%s' "$KEEPWARD_CREDENTIAL_USER:$secret" | sha256sum`)
	s.dumps("dumps", "name=sum,credential=shop,run="+dump, "name=fails,mode=try,credential=shop,run="+s.program("fails", `echo "and $(cat <&3)" >&2; exit 1`))
	done := s.final(s.start("dumps"), "Completed w/ errors")
	log := s.sessionLog(done.GetId())
	if strings.Contains(log, secret) || !strings.Contains(log, "it was told (secret)") || !strings.Contains(log, "and (secret)") {
		t.Errorf("the log says\n%s", log)
	}
	if text, err := os.ReadFile(found); err != nil || len(text) > 0 {
		t.Errorf("the secret is in %s (%v)", text, err)
	}
	to := filepath.Join(s.dir, "to")
	s.do("restore", "files", "--computer", "db1", "--point", "latest", "--to", to, "--path", "/~commands", "--wait", "--yes")
	got, err := os.ReadFile(filepath.Join(to, "~commands", "sum"))
	s.must(err)
	if want := fmt.Sprintf("%x  -\n", sha256.Sum256([]byte("dumper:"+secret))); string(got) != want {
		t.Errorf("the command was given another secret: %s", got)
	}
	s.isNowhere(secret)
	s.fails(1, []string{"job dumps names it"}, "credential", "delete", "shop")
}

func TestACommandThatFailsLeavesNoHalfFile(t *testing.T) {
	t.Parallel()
	s := newCommandSite(t)
	pid := filepath.Join(s.dir, "pid")
	// Children of two kinds: in the command's group, and one that has left it.
	hang := "sleep 1000 & echo $! >" + pid + "; setsid sleep 1001 & echo $! >>" + pid + "; "
	for _, c := range []struct{ name, text, options, say string }{
		{"midway", "seq 1 100000; echo 'disk of the database is full' >&2; exit 3", "", "exit status 3: disk of the database is full"},
		{"signal", "seq 1 100000; kill -9 $$", "", "signal: killed"},
		{"hangs", hang + "seq 1 10; sleep 1000", "limit=1s,", "longer than 1s"},
		{"prints", "head -c 3000000 /dev/zero >&2; exit 1", "", "exit status 1"},
	} {
		path := s.program(c.name, c.text)
		s.dumps(c.name, "name=dump,"+c.options+"run="+path)
		last := s.final(s.start(c.name), "Failed")
		if !strings.Contains(last.GetFailure().GetMessage(), c.say) {
			t.Errorf("%s: failed with %q", c.name, last.GetFailure().GetMessage())
		}
		if log := s.sessionLog(last.GetId()); len(log) > 200<<10 {
			t.Errorf("%s: the log has %d bytes", c.name, len(log))
		}
		if points := s.do("point", "list", "--computer", "db1").Stdout; strings.Contains(points, c.name) {
			t.Errorf("%s: there is a point:\n%s", c.name, points)
		}
		if c.name == "hangs" {
			s.allGone(pid)
		}
	}
}

// newest is the session that was started last.
func (s *commandSite) newest() int64 {
	s.t.Helper()
	list, err := s.Sessions()
	s.must(err)
	return list[0].Id
}

// allGone waits until processes are no more.
func (s *commandSite) allGone(file string) {
	s.t.Helper()
	text, err := os.ReadFile(file)
	s.must(err)
	for _, line := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(line)
		s.must(err)
		s.await("process "+line+" to end", func() bool { return syscall.Kill(pid, 0) != nil })
	}
	s.must(os.Remove(file))
}

func TestACommandEndsWithItsSessionAndWithItsAgent(t *testing.T) {
	t.Parallel()
	s := newCommandSite(t)
	pid := filepath.Join(s.dir, "pid")
	path := s.program("hangs", "seq 1 1000; (trap '' TERM HUP; sleep 1000) & echo $! >"+pid+"; setsid sleep 1001 & echo $! >>"+pid+"; echo $$ >>"+pid+"; sleep 1000")
	s.dumps("hangs", "name=dump,run="+path)
	begun := func() {
		s.await("the command to begin", func() bool {
			text, err := os.ReadFile(pid)
			return err == nil && bytes.Count(text, []byte("\n")) == 3
		})
	}
	id := s.start("hangs")
	begun()
	s.do("session", "kill", strconv.FormatInt(id, 10))
	s.final(id, "Killed")
	s.allGone(pid)

	id = s.start("hangs")
	begun()
	s.agent["db1"].Kill()
	s.allGone(pid)
	s.must(s.agent["db1"].Start())
	s.final(id, "Failed")
	// A restore that is interrupted fails, and does not begin again.
	src := filepath.Join(s.dir, "src")
	s.must(os.MkdirAll(src, 0o755))
	s.must(os.WriteFile(filepath.Join(src, "f"), []byte("content"), 0o644))
	s.createJob("files", "db1", []string{src})
	s.run("files")
	runs := filepath.Join(s.dir, "runs")
	slow := s.program("slow", "echo run >>"+runs+"; sleep 1000 & echo $! >"+pid+"; echo $$ >>"+pid+"; echo $$ >>"+pid+"; cat >/dev/null; sleep 1000")
	args := s.into(filepath.Join(src, "f"), slow)
	started := &keepwardv1.StartSessionResponse{}
	s.must(s.Message(started, args...))
	begun()
	s.agent["db1"].Kill()
	s.allGone(pid)
	s.must(s.agent["db1"].Start())
	if last := s.final(started.Session, "Failed"); last.GetFailure().GetCode() != "agent.restarted" {
		t.Errorf("failed with %q", last.GetFailure().GetMessage())
	}
	text, err := os.ReadFile(runs)
	s.must(err)
	if string(text) != "run\n" {
		t.Errorf("it ran %q", text)
	}
}

func TestARestoreIntoACommandThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	s := newCommandSite(t)
	src := filepath.Join(s.dir, "src")
	s.must(os.MkdirAll(src, 0o755))
	large := bytes.Repeat([]byte(fmt.Sprintf("%x\n", sha256.Sum256([]byte("x")))), 1<<16)
	s.must(os.WriteFile(filepath.Join(src, "large"), large, 0o644))
	s.createJob("files", "db1", []string{src})
	s.run("files")
	file := filepath.Join(src, "large")
	for _, c := range []struct{ name, text, options, say string }{
		{"refuses", "echo 'no such database' >&2; exit 2", "", "exit status 2: no such database"},
		{"takes a part", "head -c 1000 >/dev/null", "", "before it had taken all"},
		{"hangs", "sleep 1000", "1s", "longer than 1s"},
	} {
		path := s.program("load", c.text)
		args := s.into(file, path, "--wait")
		if c.options != "" {
			args = append(args, "--limit", c.options)
		}
		begun := time.Now()
		r, err := s.CLI(args...)
		s.must(err)
		log := s.sessionLog(s.newest())
		if r.Code == 0 || !strings.Contains(log, c.say) {
			t.Errorf("%s: exit %d\n%s", c.name, r.Code, log)
		}
		if took := time.Since(begun); took > time.Minute {
			t.Errorf("%s: it took %s", c.name, took)
		}
	}
	s.fails(1, []string{"is not in the restore point"}, s.into(filepath.Join(src, "nothing"), "/bin/cat", "--wait")...)
	s.fails(1, []string{"no file"}, s.into(src, "/bin/cat", "--wait")...)
}
