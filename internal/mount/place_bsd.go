//go:build darwin || freebsd

package mount

import "os/exec"

const (
	directMount = false
	mountHint   = "it takes macFUSE, or on FreeBSD the kernel module fusefs"
)

func usableDir(dir string, _ func(string)) error { return emptyDir(dir) }

// detach takes a mount away, whoever uses it.
func detach(dir string) error { return exec.Command("umount", "-f", dir).Run() }
