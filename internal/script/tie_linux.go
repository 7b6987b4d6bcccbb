package script

import (
	"os/exec"
	"syscall"
)

// tie has the kernel end a process with the thread that starts it.
func tie(cmd *exec.Cmd) { cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL }
