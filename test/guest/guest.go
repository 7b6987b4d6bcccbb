// Package guest runs a program as the first process of a virtual machine with a kernel of its own,
// for what the kernel of the machine that runs the tests lacks. The machine is emulated: it needs no
// rights, and takes some seconds to start.
package guest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Guest is what a machine is made of.
type Guest struct {
	// Kernel is the directory into which the package of a kernel of Debian was unpacked; see Kernel.
	Kernel string
	// Modules are those of the kernel that it loads, with those that they need.
	Modules []string
	// Programs are names of programs of this machine that it has, with their libraries.
	Programs []string
	// Links are further names for programs.
	Links map[string]string
	// Files are further files, by their absolute paths.
	Files map[string]string
	// Init is a program without libraries, and Args are its arguments, without blanks. When it ends
	// the machine does.
	Init string
	Args []string
	// Memory of the machine in MiB.
	Memory int
}

// Kernel is the directory with the kernel that tools/deps.sh has fetched.
func Kernel() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "keepward", "guest-kernel")
	if _, err := os.Stat(dir); err != nil {
		return "", fmt.Errorf("no kernel for a guest: %w; tools/deps.sh fetches one", err)
	}
	return dir, nil
}

// Run starts the machine, hands line every line of its console, and returns when it is off.
func (g Guest) Run(ctx context.Context, dir string, line func(string)) error {
	images, err := filepath.Glob(filepath.Join(g.Kernel, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return fmt.Errorf("%s has no kernel: %v, %w", g.Kernel, images, err)
	}
	image, err := g.image()
	if err != nil {
		return err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := os.WriteFile(initrd, image, 0o600); err != nil {
		return err
	}
	args := []string{
		"-M", "pc", "-accel", "tcg", "-cpu", "max", "-m", fmt.Sprint(g.Memory), "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
		"-kernel", images[0], "-initrd", initrd,
		// What fails in the kernel ends the machine instead of leaving it there.
		"-append", "console=ttyS0 quiet panic=-1 oops=panic -- " + strings.Join(g.Args, " "),
	}
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	console, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for sc := bufio.NewScanner(console); sc.Scan(); {
		line(strings.TrimRight(sc.Text(), "\r"))
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w: %s", errors.Join(err, context.Cause(ctx)), complaint.String())
	}
	return nil
}
