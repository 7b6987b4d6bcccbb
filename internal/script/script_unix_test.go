//go:build unix

package script

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// program writes a shell script.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOutputAndExitOfAScript(t *testing.T) {
	for _, c := range []struct {
		name, text, code string
		arguments        []string
		exit             int
		want             []string
	}{
		{name: "well", text: "echo one; echo two >&2", want: []string{"one", "two"}},
		{name: "silent", text: "true"},
		{name: "arguments", text: `echo "$#:$1:$2"`, arguments: []string{"a b", ""}, want: []string{"2:a b:"}},
		{name: "exit status", text: "echo no; exit 7", exit: 7, code: "script.failed", want: []string{"no"}},
		{name: "signal", text: "kill -9 $$", exit: -1, code: "script.failed"},
		{name: "no text", text: `printf 'a\377b\r\nc'`, want: []string{"a\uFFFDb", "c"}},
		{name: "no input", text: "read x; echo \"$?\"", want: []string{"1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Run(t.Context(), Command{Path: program(t, c.text), Arguments: c.arguments})
			if errs.CodeOf(err) != c.code || r.Exit != c.exit {
				t.Errorf("exit %d, %v; want %d and code %q", r.Exit, err, c.exit, c.code)
			}
			if d := cmp.Diff(c.want, r.Output); d != "" {
				t.Errorf("output (-want +got):\n%s", d)
			}
		})
	}
}

func TestWhatCannotRunSaysWhy(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode, text string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		path, code string
		kind       errs.Kind
	}{
		{filepath.Join(dir, "gone"), "script.missing", errs.Invalid},
		{dir, "script.not-executable", errs.Invalid},
		{file("plain", 0o600, "#!/bin/sh\n"), "script.not-executable", errs.Invalid},
		{file("open", 0o777, "#!/bin/sh\n"), "script.writable", errs.Denied},
		{file("interpreter", 0o700, "#!/nowhere/sh\n"), "script.start", errs.Invalid},
	} {
		r, err := Run(t.Context(), Command{Path: c.path})
		if errs.CodeOf(err) != c.code || errs.KindOf(err) != c.kind {
			t.Errorf("%s: %v (%s), want %s", c.path, err, errs.KindOf(err), c.code)
		}
		if r.Started.IsZero() || r.Ended.IsZero() {
			t.Errorf("%s: no times", c.path)
		}
	}
}

// gone waits until a process is no more: who ends it does not wait for that.
func gone(t *testing.T, pidFile string) {
	t.Helper()
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); syscall.Kill(pid, 0) == nil; {
		if state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil && strings.Contains(string(state), ") Z ") {
			return // dead, and nobody has asked yet
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// filled waits until a script has written a file.
func filled(path string) {
	for {
		if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// hangs are scripts that never end by themselves; each has a child whose process id it writes.
func hangs(pid string) map[string]string {
	return map[string]string{
		"obeys":         "sleep 1000 & echo $! >" + pid + "; wait",
		"does not obey": "trap '' TERM; sh -c \"trap '' TERM; while :; do sleep 1000; done\" & echo $! >" + pid + "; while :; do sleep 1000; done",
	}
}

func TestAScriptIsEndedWithAllThatItStarted(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	for name, text := range hangs(pid) {
		t.Run(name, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			go func() { filled(pid); stop() }()
			_, err := Run(ctx, Command{Path: program(t, text), Grace: 200 * time.Millisecond})
			if errs.CodeOf(err) != "script.stopped" {
				t.Errorf("ended with %v", err)
			}
			gone(t, pid)
			if err := os.Remove(pid); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAScriptThatHangsIsEndedWhenItsTimeIsOver(t *testing.T) {
	for name, text := range hangs("/dev/null") {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), Command{Path: program(t, text), Limit: 50 * time.Millisecond, Grace: 50 * time.Millisecond})
			if errs.CodeOf(err) != "script.time-limit" || r.Exit == 0 {
				t.Errorf("exit %d, %v", r.Exit, err)
			}
		})
	}
}

func TestStoppingAScriptSaysWhoDid(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	begun := filepath.Join(t.TempDir(), "begun")
	path := program(t, "trap 'echo cleared; exit 0' TERM; echo x >"+begun+"; while :; do sleep 0.01; done")
	go func() { filled(begun); stop(errors.New("killed by ann")) }()
	r, err := Run(ctx, Command{Path: path, Grace: time.Minute})
	if errs.CodeOf(err) != "script.stopped" || !strings.Contains(err.Error(), "killed by ann") {
		t.Errorf("ended with %v", err)
	}
	if !slices.Contains(r.Output, "cleared") {
		t.Errorf("it was not let to clear up: %q", r.Output)
	}
}

func TestWhatAScriptLeavesRunningIsNotWaitedFor(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	if _, err := Run(t.Context(), Command{Path: program(t, "sleep 1000 & echo $! >"+pid), Grace: time.Millisecond}); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n, syscall.SIGKILL); err != nil {
		t.Errorf("a service that the script has started was ended with it: %v", err)
	}
}

func TestAGigabyteOfOutputCostsKilobytes(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() {
		size = 64 << 20
	}
	text := "echo first; head -c " + strconv.FormatInt(size, 10) + " /dev/zero; echo; echo last"
	r, err := Run(t.Context(), Command{Path: program(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, line := range r.Output {
		total += len(line)
	}
	if r.Output[0] != "first" || r.Output[len(r.Output)-1] != "last" {
		t.Errorf("begins with %.20q and ends with %.20q", r.Output[0], r.Output[len(r.Output)-1])
	}
	if total > keepHead+keepTail+200 || r.LeftOut < size-keepHead-keepTail {
		t.Errorf("%d bytes are kept, %d left out", total, r.LeftOut)
	}
}

func TestEnvironmentHasTheVariablesAndNoSecretOfOurs(t *testing.T) {
	t.Setenv("KEEPWARD_TOKEN", "secret")
	t.Setenv("OTHER", "kept")
	r, err := Run(t.Context(), Command{
		Path:      program(t, `echo "$KEEPWARD_JOB|$KEEPWARD_TOKEN|$OTHER|$PATH_STOLEN"`),
		Variables: map[string]string{"KEEPWARD_JOB": "do\x00cs $(x)", "PATH_STOLEN": "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"docs $(x)||kept|"}, r.Output); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A secret comes from its descriptor, once, and is in no environment.
func TestASecretComesFromItsDescriptorAlone(t *testing.T) {
	const secret = "open sesame, please"
	r, err := Run(t.Context(), Command{
		Path: program(t, `[ "$(cat <&3)" = "open sesame"", please" ] && echo got it
cat <&3 | wc -c | tr -d ' '
env | grep -c sesame
exit 0`),
		Secret: app.NewSecret(secret), All: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"got it", "0", "0"}, r.Output); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
