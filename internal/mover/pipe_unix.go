//go:build unix

package mover

import (
	"os/signal"
	"syscall"
)

func ignorePipe() { signal.Ignore(syscall.SIGPIPE) }
