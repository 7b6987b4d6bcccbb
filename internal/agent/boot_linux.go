package agent

import (
	"bytes"
	"os"
)

// bootID names this start of the computer; empty: it cannot be told.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
