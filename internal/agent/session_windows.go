package agent

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// ownSession cuts a watchdog loose from this process's console: what ends the agent must not end
// what lets go for it.
func ownSession(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS, HideWindow: true}
}
