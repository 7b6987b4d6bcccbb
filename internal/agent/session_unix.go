//go:build unix

package agent

import (
	"os/exec"
	"syscall"
)

// ownSession cuts a watchdog loose from this process's terminal and group: what ends the agent
// must not end what lets go for it.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
