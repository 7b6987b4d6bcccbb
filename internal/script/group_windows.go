package script

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"

	"keepward/internal/errs"
)

// group is a script with all that it has started: a job object. What the script starts before it
// is put into it, in its first moments, is not in it.
type group struct {
	cmd *exec.Cmd
	job windows.Handle // 0: there is none, and only the script itself can be ended
}

func newGroup(cmd *exec.Cmd) *group {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP, HideWindow: true}
	return &group{cmd: cmd}
}

func (g *group) started() {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(g.cmd.Process.Pid))
	if err == nil {
		err = windows.AssignProcessToJobObject(job, process)
		_ = windows.CloseHandle(process)
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return
	}
	g.job = job
}

func (g *group) close() {
	if g.job != 0 {
		_ = windows.CloseHandle(g.job)
		g.job = 0
	}
}

// terminate ends all at once: there is no signal that a program without a window is sure to hear.
func (g *group) terminate() error {
	if g.job != 0 {
		return windows.TerminateJobObject(g.job, 1)
	}
	return g.cmd.Process.Kill()
}

func (g *group) kill() { _ = g.terminate() }

// checkMode refuses a file that the system does not know how to run.
func checkMode(path string, _ fs.FileInfo) error {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".exe", ".com", ".bat", ".cmd":
		return nil
	}
	return errs.New(errs.Invalid, "script.not-executable", "run script %s: it is no program", path).
		WithHint("a PowerShell script is an argument: powershell.exe -File SCRIPT")
}
