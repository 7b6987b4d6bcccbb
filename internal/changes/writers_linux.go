package changes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel tells of a write through a mapping, by asynchronous I/O of the old kind, by a
// loop device or by an overlay only when the file is closed, if at all. So what is open for
// writing at this moment, in whatever way can be seen, counts as changed.

// writers adds a fact for every file of the volume that may be written to without a word.
func (d *drain) writers(ctx context.Context, trust func(int) bool) (Reason, error) {
	// The initial namespace has this number in every kernel (PROC_PID_INIT_INO).
	if ns, err := os.Readlink("/proc/self/ns/pid"); err != nil || ns != "pid:[4026531836]" {
		return Unseen, errors.New("processes outside of this container are not seen")
	}
	proc, err := os.ReadDir("/proc")
	if err != nil {
		return Unseen, err
	}
	s := scan{drain: d, namespaces: map[string]bool{}}
	for _, e := range proc {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		dir := "/proc/" + e.Name()
		for _, look := range []func(string) error{s.descriptors, s.mappings, s.overlays} {
			if err := look(dir); err != nil && !ended(err) {
				if errors.Is(err, errSorter) {
					return "", err
				}
				if errors.Is(err, fs.ErrPermission) && trust != nil && trust(pid) {
					d.set.note("process %d cannot be looked into: what it writes through a mapping is not seen", pid)
					break
				}
				return Unseen, err
			}
		}
	}
	if err := errors.Join(s.loops(), s.swaps()); err != nil {
		if errors.Is(err, errSorter) {
			return "", err
		}
		return Unseen, err
	}
	if s.found > 0 {
		d.set.note("%d files are open for writing and count as changed", s.found)
	}
	return "", nil
}

// errSorter marks an error of the scratch directory.
var errSorter = errors.New("collect open files")

// ended tells that a process ended, or a descriptor was closed, while it was looked at.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EBADF)
}

type scan struct {
	*drain
	namespaces map[string]bool
	found      int
}

// open takes a file found open.
func (s *scan) open(handle []byte, what facts) error {
	s.found++
	f := fact{what: what, target: handle}
	if err := s.add(&f); err != nil {
		return fmt.Errorf("%w: %w", errSorter, err)
	}
	return nil
}

// descriptors looks at what a process has open.
func (s *scan) descriptors(dir string) error {
	f, err := os.Open(dir + "/fd")
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(int(f.Fd()), n, &st, 0); err != nil {
			continue // closed just now, or of another file system that does not answer
		}
		if st.Dev != s.mount.dev || st.Mode&unix.S_IFMT != unix.S_IFREG {
			continue
		}
		writes, err := openForWriting(dir + "/fdinfo/" + n)
		if err != nil {
			if ended(err) {
				continue
			}
			return err
		}
		if !writes || st.Nlink == 0 {
			continue
		}
		h := handleOf(int(f.Fd()), n, unix.AT_SYMLINK_FOLLOW)
		if h == nil {
			continue // closed just now, and so told of
		}
		if err := s.open(h, factOpen); err != nil {
			return err
		}
	}
	return nil
}

func openForWriting(info string) (bool, error) {
	b, err := os.ReadFile(info)
	if err != nil {
		return false, err
	}
	for line := range bytes.Lines(b) {
		if v, ok := bytes.CutPrefix(line, []byte("flags:")); ok {
			flags, err := strconv.ParseUint(string(bytes.TrimSpace(v)), 8, 64)
			if err != nil {
				return false, err
			}
			return flags&unix.O_ACCMODE != unix.O_RDONLY && flags&unix.O_PATH == 0, nil
		}
	}
	return true, nil
}

// mappings looks at what a process has mapped to share and may write to, or may make writable.
func (s *scan) mappings(dir string) error {
	f, err := os.Open(dir + "/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var may map[string]bool
	for lines.Scan() {
		// address rights offset device inode path
		area, rest, _ := strings.Cut(lines.Text(), " ")
		if len(rest) < 4 || rest[3] != 's' {
			continue
		}
		var st unix.Stat_t
		if err := unix.Stat(mapFile(dir, area), &st); err != nil {
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
				return fmt.Errorf("%s: %w", mapFile(dir, area), err)
			}
			continue // not a file, or unmapped just now
		}
		if st.Dev != s.mount.dev || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink == 0 {
			continue
		}
		if rest[1] != 'w' {
			if may == nil {
				if may, err = mayWrite(dir); err != nil {
					return err
				}
			}
			if !may[area] {
				continue
			}
		}
		h := handleOf(unix.AT_FDCWD, mapFile(dir, area), unix.AT_SYMLINK_FOLLOW)
		if h == nil {
			continue
		}
		if err := s.open(h, factOpen); err != nil {
			return err
		}
	}
	return lines.Err()
}

// mapFile is the link of an area; its name has no leading zeros, which maps may have.
func mapFile(dir, area string) string {
	from, to, _ := strings.Cut(area, "-")
	trim := func(x string) string {
		if y := strings.TrimLeft(x, "0"); y != "" {
			return y
		}
		return "0"
	}
	return dir + "/map_files/" + trim(from) + "-" + trim(to)
}

// mayWrite answers the areas of a process that it may make writable without opening the file
// again.
func mayWrite(dir string) (map[string]bool, error) {
	f, err := os.Open(dir + "/smaps")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	may := map[string]bool{}
	area := ""
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		first, rest, _ := strings.Cut(lines.Text(), " ")
		if v, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok {
			may[area] = strings.Contains(v+" ", " mw ")
		} else if !strings.HasSuffix(first, ":") && rest != "" {
			area = first
		}
	}
	return may, lines.Err()
}

// loops looks at the files that are loop devices.
func (s *scan) loops() error {
	list, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return err
	}
	for _, l := range list {
		b, err := os.ReadFile(l)
		if err != nil {
			continue // detached just now: told of
		}
		device := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(l)))
		if err := s.backing(device, strings.TrimSuffix(string(b), "\n")); err != nil {
			return err
		}
	}
	return nil
}

func (s *scan) backing(device, path string) error {
	f, err := os.Open(device)
	if err != nil {
		return fmt.Errorf("which file is %s: %w", device, err)
	}
	defer f.Close()
	// struct loop_info64 begins with device 8, inode 8.
	var info [232]byte
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.LOOP_GET_STATUS64, uintptr(unsafe.Pointer(&info))); e != 0 {
		if errors.Is(e, unix.ENXIO) {
			return nil // detached just now
		}
		return fmt.Errorf("which file is %s: %w", device, e)
	}
	if nativeEndian.Uint64(info[:]) != s.mount.dev {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Dev != s.mount.dev || st.Ino != nativeEndian.Uint64(info[8:]) {
		return fmt.Errorf("%s is a file of the volume, but not %s any more", device, path)
	}
	s.set.note("%s is a loop device and counts as changed", path)
	return s.open(handleOf(unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW), factOpen)
}

// swaps looks at the files that are swapped to.
func (s *scan) swaps() error {
	b, err := os.ReadFile("/proc/swaps")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[1] != "file" {
			continue
		}
		path := unescape(fields[0])
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return fmt.Errorf("swap file: %w", err)
		}
		if st.Dev == s.mount.dev {
			if err := s.open(handleOf(unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW), factOpen); err != nil {
				return err
			}
		}
	}
	return nil
}
