package snapshottest

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Main runs the tests of a package. As the first process of a virtual machine it first makes of
// that a system on which they can run, and switches it off at the end.
func Main(run func() int) int {
	if os.Getpid() != 1 {
		return run()
	}
	code := 1
	if err := guest(); err != nil {
		fmt.Println("guest:", err)
	} else {
		code = run()
	}
	fmt.Println("guest: exit status", code)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("guest:", err)
	}
	return code
}

// guest mounts what programs expect, and loads the modules in /modules.
func guest() error {
	var err error
	for _, m := range [][2]string{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/tmp"}, {"tmpfs", "/run"}} {
		err = errors.Join(err, unix.Mount(m[0], m[1], m[0], 0, ""))
	}
	// Nobody there makes the nodes of devices but who makes the devices.
	err = errors.Join(err, os.Setenv("PATH", "/bin"), os.Setenv("DM_DISABLE_UDEV", "1"))
	order, oerr := os.ReadFile("/modules/order")
	if err = errors.Join(err, oerr); err != nil {
		return err
	}
	for _, name := range strings.Fields(string(order)) {
		if err := insert("/modules/" + name + ".ko"); err != nil {
			return fmt.Errorf("load module %s: %w", name, err)
		}
	}
	return nil
}

func insert(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}
