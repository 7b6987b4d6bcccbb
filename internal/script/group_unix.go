//go:build unix

package script

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"keepward/internal/errs"
)

// group is a script with all that it has started, unless that took itself out of the group.
type group struct{ cmd *exec.Cmd }

func newGroup(cmd *exec.Cmd) *group {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &group{cmd}
}

func (g *group) started() {}
func (g *group) close()   {}

// terminate asks all of the group to end.
func (g *group) terminate() error { return g.signal(syscall.SIGTERM) }

func (g *group) kill() { _ = g.signal(syscall.SIGKILL) } // who is gone needs no signal

func (g *group) signal(s syscall.Signal) error {
	err := syscall.Kill(-g.cmd.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// checkMode refuses a file that cannot be run, and one that anybody may change: it would run with
// the rights of this process.
func checkMode(path string, info fs.FileInfo) error {
	switch mode := info.Mode().Perm(); {
	case mode&0o111 == 0:
		return errs.New(errs.Invalid, "script.not-executable", "run script %s: it is not executable", path).WithHint("chmod +x %s", path)
	case mode&0o002 != 0:
		return errs.New(errs.Denied, "script.writable", "run script %s: everybody may change it", path).WithHint("chmod o-w %s", path)
	}
	return nil
}
