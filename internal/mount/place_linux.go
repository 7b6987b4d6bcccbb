package mount

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

const (
	// directMount: root needs no helper program.
	directMount = true
	mountHint   = "without root it takes the program fusermount3 (package fuse3), and for --allow-other the line user_allow_other in /etc/fuse.conf; /dev/fuse must be there"
	// ownType is what the table of mounts calls ours.
	ownType = "fuse.keepward"
)

// usableDir makes sure that something can be mounted at a directory. A mount of ours whose process
// died, which nobody can use, is cleared away.
func usableDir(dir string, tell func(string)) error {
	if mountedOurs(dir) {
		if !dead(dir) {
			return errs.New(errs.Exists, "mount.mounted", "mount at %s: restore points are mounted there already", dir).
				WithHint("end the other one first, or unmount it: umount %s", dir)
		}
		if err := detach(dir); err != nil {
			return errs.New(errs.Busy, "mount.dead", "mount at %s: the process of an earlier mount is gone, and what it left cannot be unmounted: %w", dir, err).
				WithHint("umount -l %s", dir)
		}
		tell("cleared away a mount at " + dir + " whose process was gone")
	}
	return emptyDir(dir)
}

// dead tells whether nobody answers for a mount.
func dead(dir string) bool {
	d, err := os.Open(dir)
	if err != nil {
		return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
	}
	_ = d.Close()
	return false
}

// mountedOurs tells whether a mount of ours is at a directory.
func mountedOurs(dir string) bool {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	found := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if at, kind := mountOf(lines.Text()); at == dir {
			found = kind == ownType // the last one lies on top
		}
	}
	return found
}

// mountOf reads a line of the table of mounts: where, and of which type.
func mountOf(line string) (at, kind string) {
	fields := strings.Fields(line)
	for i, field := range fields {
		if field == "-" && i > 4 && i+1 < len(fields) {
			return unescape(fields[4]), fields[i+1]
		}
	}
	return "", ""
}

// unescape turns \040 and the like back into bytes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// detach takes a mount away, whoever uses it.
func detach(dir string) error {
	err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH)
	if err == nil || !errors.Is(err, unix.EPERM) {
		return err
	}
	program, lerr := exec.LookPath("fusermount3")
	if lerr != nil {
		if program, lerr = exec.LookPath("fusermount"); lerr != nil {
			return err
		}
	}
	return exec.Command(program, "-u", "-z", dir).Run()
}
