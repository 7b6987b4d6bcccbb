package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

func (s *setter) xattrs() xattrCalls {
	switch {
	case s.h.fd < 0:
		return xattrsOfPath(linkPath(s.h.dir, s.h.name), false)
	case s.h.special:
		return xattrsOfPath(procPath(s.h.fd), true)
	}
	return xattrsOfFD(s.h.fd)
}

// stripXattrs removes extended attributes that must not be there and answers those to set.
func (s *setter) stripXattrs() ([]fileindex.Xattr, error) {
	if s.was.fresh && (s.in == nil || !s.in.acl) {
		return s.a.xattrs, nil
	}
	set, changed, err := extraXattrs(s.xattrs(), s.a.xattrs)
	if changed {
		s.changed = true
		s.was.owned = false // an ACL that went had its say in the mode
	}
	return set, err
}

func (s *setter) setXattrs(list []fileindex.Xattr) error {
	if len(list) == 0 {
		return nil
	}
	calls := s.xattrs()
	for _, x := range list {
		s.changed = true
		err := retry(func() error { return calls.set(string(x.Name), x.Value) })
		switch {
		case err == nil:
		case unsupported(err), errors.Is(err, unix.EPERM) && !s.r.isRoot:
			s.r.report.lose("restore.xattr", fmt.Sprintf("extended attribute %q", x.Name), s.path(), err)
		default:
			return fmt.Errorf("set extended attribute %q: %w", x.Name, err)
		}
	}
	return nil
}

func (s *setter) earlyFlags(flags uint32) {
	want := flags&^uint32(earlyFlags) | s.a.flags&earlyFlags
	if want == flags {
		return
	}
	s.changed = true
	if err := setFlagsOf(s.h.fd, want); err != nil {
		s.r.report.lose("restore.flags", "file flags", s.path(), err)
	}
}

// inherited looks at what a directory hands to what is made in it.
func (d *dir) inherited() {
	_, err := unix.Fgetxattr(d.fd, defaultACL, nil)
	d.acl = err == nil
	flags, ok := getFlags(d.fd)
	d.inherits = ok && flags&earlyFlags != 0
}

// disinherit takes from a directory just made what it inherited.
func (d *dir) disinherit(flagsToo bool) error {
	calls := xattrsOfFD(d.fd)
	if _, _, err := extraXattrs(calls, nil); err != nil {
		return err
	}
	if !flagsToo {
		return nil
	}
	if flags, ok := getFlags(d.fd); ok && flags&earlyFlags != 0 {
		if err := setFlagsOf(d.fd, flags&^uint32(earlyFlags)); err != nil {
			return fmt.Errorf("clear inherited file flags: %w", err)
		}
	}
	return nil
}

// setLateFlags sets immutable and append-only.
func setLateFlags(fd int, want uint32) error {
	flags, ok := getFlags(fd)
	if !ok {
		return unix.ENOTTY
	}
	return setFlagsOf(fd, flags&^uint32(lateFlags)|want&lateFlags)
}
