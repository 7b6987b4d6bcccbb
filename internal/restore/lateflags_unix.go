//go:build unix

package restore

import (
	"errors"

	"golang.org/x/sys/unix"
)

// lateFlag is an immutable or append-only flag to be set when all else is done.
type lateFlag struct {
	dir   []string // names from the base
	name  string   // empty: the base itself
	path  []byte
	flags uint32
}

func (r *run) setLate(l *lateFlag) error {
	fd, err := walkDir(r.baseFD, l.dir)
	if err != nil {
		return err
	}
	defer func() { _ = closeFD(fd) }()
	if l.name != "" {
		dir := fd
		file, err := openAt(dir, l.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		defer func() { _ = closeFD(file) }()
		fd = file
	}
	err = setLateFlags(fd, l.flags)
	if errors.Is(err, unix.EPERM) && !r.isRoot || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) {
		r.report.lose("restore.flags", "file flags", l.path, err)
		return nil
	}
	return err
}

// deferFlags remembers the immutable and append-only flags that s is to set.
func (r *run) deferFlags(s *setter, flags uint32) {
	l := lateFlag{path: s.path(), flags: flags}
	if s.in != nil {
		l.dir, l.name = s.in.names(), s.final
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.late = append(r.late, l)
}
