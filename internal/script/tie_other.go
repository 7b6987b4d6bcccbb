//go:build !linux

package script

import "os/exec"

func tie(*exec.Cmd) {}
