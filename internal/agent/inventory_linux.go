package agent

import (
	"strings"

	"golang.org/x/sys/unix"
)

// systemName is the distribution in words, and the kernel.
func systemName() (system, kernel string) {
	for line := range strings.Lines(readSmall("/etc/os-release")) {
		if text, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			system = strings.Trim(strings.TrimSpace(text), `"'`)
		}
	}
	return system, strings.TrimSpace(readSmall("/proc/sys/kernel/osrelease"))
}

// memoryOfComputer is how much there is; 0: it cannot be told.
func memoryOfComputer() int64 {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}

// volumeSize asks a file system; it may hang.
func volumeSize(mount string) (total, free int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(mount, &s); err != nil {
		return 0, 0, err
	}
	return int64(s.Blocks) * int64(s.Bsize), int64(s.Bavail) * int64(s.Bsize), nil
}
