package update

import (
	"os/exec"
	"syscall"
)

// tie has the kernel end the child with this process.
func tie(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
