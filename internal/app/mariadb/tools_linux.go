package mariadb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"keepward/internal/app"
	"keepward/internal/errs"
)

func statOf(path string) (*syscall.Stat_t, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return info.Sys().(*syscall.Stat_t), nil
}

func deviceOf(path string) (uint64, error) {
	st, err := statOf(path)
	if err != nil {
		return 0, err
	}
	return st.Dev, nil
}

func ownerOf(path string) (uid, gid int, err error) {
	st, err := statOf(path)
	if err != nil {
		return 0, 0, err
	}
	return int(st.Uid), int(st.Gid), nil
}

// usualPrograms are where packages put the programs of a server.
var usualPrograms = []string{"/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/mysql/bin", "/usr/local/bin"}

// program finds a program of a series; empty: of any, as for clients, which tell of versions of their
// own. chosen is a directory that somebody named.
func program(name, series, chosen string) (string, error) {
	dirs := usualPrograms
	if chosen != "" {
		dirs = []string{chosen}
	}
	others := []string{}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		cmd := exec.Command(path, "--no-defaults", "--version")
		cmd.Env = environment("/")
		out, err := cmd.CombinedOutput() // mariadb-backup says it on the standard error
		if err != nil {
			continue
		}
		if series == "" || bytes.Contains(out, []byte(" "+series+".")) {
			return path, nil
		}
		others = append(others, path+" is "+strings.TrimSpace(string(out)))
	}
	text := "looked in " + strings.Join(dirs, ", ")
	if len(others) > 0 {
		text = strings.Join(others, "; ")
	}
	return "", errs.New(errs.NotFound, "application.programs", "there is no %s on this computer: %s", strings.TrimSpace(name+" of MariaDB "+series), text).
		WithHint("install that version (Debian: mariadb-server, mariadb-backup), or name the directory of its programs with the setting programs")
}

func environment(home string) []string {
	return []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=UTC", "HOME=" + home}
}

// tailMost is how much of what a program says is kept.
const tailMost = 16 << 10

// tail keeps the end of what is written to it, and tells of each line.
type tail struct {
	mu   sync.Mutex
	b    []byte
	part []byte
	line func(string)
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - tailMost; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	if t.line != nil {
		t.part = append(t.part, p...)
		for {
			line, rest, ok := bytes.Cut(t.part, []byte("\n"))
			if !ok {
				break
			}
			t.line(string(line))
			t.part = append(t.part[:0], rest...)
		}
	}
	return len(p), nil
}

// lines are those of them that say what is wrong, else the last.
func (t *tail) lines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var bad []string
	all := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	for _, l := range all {
		if low := strings.ToLower(l); strings.Contains(low, "error") || strings.Contains(low, "fatal") {
			bad = append(bad, l)
		}
	}
	if len(bad) == 0 {
		bad = all
	}
	return strings.Join(bad[max(0, len(bad)-3):], "; ")
}

// options is a file of options that is in no directory: it is gone with those who have it open.
func options(at place, user string, secret app.Secret, tls string) (*os.File, error) {
	fd, err := unix.MemfdCreate("options", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "options")
	quoted := func(s string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `'`, `\'`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
	}
	if user == "" {
		user = usualUser
	}
	text := "[client]\nuser=" + quoted(user) + "\npassword=" + quoted(secret.Reveal()) + "\n"
	if at.socket != "" {
		text += "protocol=socket\nsocket=" + quoted(at.socket) + "\n"
	} else {
		text += "protocol=tcp\nhost=" + quoted(at.host) + "\nport=" + strconv.Itoa(int(at.port)) + "\n"
		switch tls {
		case "disable":
			text += "skip-ssl\n"
		case "require":
			text += "ssl\n"
		case "verify-full":
			text += "ssl\nssl-verify-server-cert\n"
		}
	}
	// What anybody may write is not read.
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Chmod(0o600)); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// optionsArgument names a file of options that is the first extra file of a command.
const optionsArgument = "--defaults-file=/proc/self/fd/3"

// run runs programs, each reading what the one before writes, to their end, which comes with ctx at
// the latest. They die with this process.
func run(ctx context.Context, cmds ...*exec.Cmd) error {
	said := make([]*tail, len(cmds))
	for i, cmd := range cmds {
		said[i] = &tail{}
		if t, ok := cmd.Stderr.(*tail); ok {
			said[i] = t
		}
		cmd.Stderr = said[i]
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Pdeathsig, cmd.SysProcAttr.Setpgid = syscall.SIGKILL, true
	}
	var pipes []io.Closer
	for i := 1; i < len(cmds); i++ {
		from, to, err := os.Pipe()
		if err != nil {
			return err
		}
		cmds[i-1].Stdout, cmds[i].Stdin = to, from
		pipes = append(pipes, from, to)
	}
	runtime.LockOSThread() // they die with this thread
	defer runtime.UnlockOSThread()
	var begun int
	var failed error
	for begun < len(cmds) && failed == nil {
		if failed = cmds[begun].Start(); failed == nil {
			begun++
		}
	}
	for _, p := range pipes {
		_ = p.Close() // they are the programs'
	}
	kill := func() {
		for _, cmd := range cmds[:begun] {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}
	if failed != nil {
		kill()
	}
	stop := context.AfterFunc(ctx, kill)
	defer stop()
	for i := begun - 1; i >= 0; i-- { // one that fails is why those before it do
		if err := cmds[i].Wait(); err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w: %s", filepath.Base(cmds[i].Path), err, said[i].lines())
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return failed
}
