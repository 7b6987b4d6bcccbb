package changes

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a mounted file system, open for as long as a call takes: longer would keep it from
// being unmounted.
type mount struct {
	fd   int
	path string // as the kernel tells paths below it
	fsid unix.Fsid
	dev  uint64
}

func openMount(path string) (*mount, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	m := &mount{fd: fd}
	if err := m.look(); err != nil {
		m.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (m *mount) look() error {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Fstatfs(m.fd, &fs), unix.Fstat(m.fd, &st)); err != nil {
		return err
	}
	m.fsid, m.dev = fs.Fsid, st.Dev
	path, err := fdPath(m.fd)
	if err != nil {
		return err
	}
	m.path = path
	root, err := mountRoot(m.fd)
	if err != nil {
		return err
	}
	if root != "/" {
		return fmt.Errorf("only %s of the file system is mounted here", root)
	}
	h, _, err := unix.NameToHandleAt(m.fd, "", unix.AT_EMPTY_PATH)
	if err != nil {
		return fmt.Errorf("file handles: %w", err)
	}
	fd, err := unix.OpenByHandleAt(m.fd, h, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("open by file handle: %w", err)
	}
	return unix.Close(fd)
}

func (m *mount) close() { _ = unix.Close(m.fd) }

func fdPath(fd int) (string, error) {
	buf := make([]byte, 4097)
	n, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd), buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// mountRoot answers which directory of its file system the mount of a descriptor shows.
func mountRoot(fd int) (string, error) {
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil {
		return "", err
	}
	id := ""
	for line := range strings.Lines(string(info)) {
		if v, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			id = strings.TrimSpace(v)
		}
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 && fields[0] == id {
			return fields[3], nil
		}
	}
	return "", errors.Join(fmt.Errorf("mount %s is not known", id), lines.Err())
}

// below is the path of an open directory below the root of the mount. Where it is longer than
// the kernel tells, it is that of the nearest directory above, and deep.
func (m *mount) below(fd int) (path []byte, deep bool, err error) {
	p, err := fdPath(fd)
	for up := fd; errors.Is(err, unix.ENAMETOOLONG); {
		next, upErr := unix.Openat(up, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if up != fd {
			_ = unix.Close(up)
		}
		if upErr != nil {
			return nil, false, upErr
		}
		up, deep = next, true
		if p, err = fdPath(up); !errors.Is(err, unix.ENAMETOOLONG) {
			_ = unix.Close(up)
		}
	}
	if err != nil {
		return nil, false, err
	}
	rel, ok := m.relative(p)
	if !ok {
		return nil, false, fmt.Errorf("%q does not lie below %q", p, m.path)
	}
	return rel, deep, nil
}

func (m *mount) relative(p string) ([]byte, bool) {
	switch {
	case p == m.path:
		return nil, true
	case m.path == "/" && len(p) > 1 && p[0] == '/':
		return []byte(p[1:]), true
	case len(p) > len(m.path) && p[:len(m.path)] == m.path && p[len(m.path)] == '/':
		return []byte(p[len(m.path)+1:]), true
	}
	return nil, false
}

// openHandle opens what a file handle, as events have it, stands for.
func openHandle(mount int, handle []byte) (int, error) {
	if len(handle) < 4 {
		return -1, unix.EINVAL
	}
	h := unix.NewFileHandle(int32(binary.NativeEndian.Uint32(handle)), handle[4:])
	return unix.OpenByHandleAt(mount, h, unix.O_PATH|unix.O_CLOEXEC)
}

// handleOf is the handle of a name as events have it; nil if there is none.
func handleOf(dir int, name string, flags int) []byte {
	h, _, err := unix.NameToHandleAt(dir, name, flags)
	if err != nil {
		return nil
	}
	b := binary.NativeEndian.AppendUint32(make([]byte, 0, 4+h.Size()), uint32(h.Type()))
	return append(b, h.Bytes()...)
}
