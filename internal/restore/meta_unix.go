//go:build unix

package restore

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
)

const setID = 0o6000

// handle is a way to one file's metadata.
type handle struct {
	fd      int  // -1 for a symbolic link
	special bool // fd was made by openMeta
	dir     int
	name    string
}

// state is what is known of a file before its metadata is set.
type state struct {
	present
	fresh bool // made by this restore: no attributes or flags but inherited ones
	owned bool // uid, gid and mode are known
}

func (h *handle) chown(uid, gid int) error {
	switch {
	case h.fd < 0:
		return chownAt(h.dir, h.name, uid, gid)
	case h.special:
		return chownMeta(h.fd, uid, gid)
	}
	return retry(func() error { return unix.Fchown(h.fd, uid, gid) })
}

func (h *handle) chmod(mode uint32) error {
	if h.special {
		return chmodMeta(h.fd, mode)
	}
	return retry(func() error { return unix.Fchmod(h.fd, mode) })
}

// setter sets the metadata of one file.
type setter struct {
	r     *run
	in    *dir   // the directory it lies in; nil for the base itself
	final string // its name there in the end
	h     handle
	a     *attrs
	was   state
	path  func() []byte
	// unlocked are the late flags that were cleared beforehand, so that its content could
	// be put right.
	unlocked uint32
	changed  bool
}

// apply puts owner, mode, attributes, flags and times right, in the order in which the
// system does not undo one by the next: a change of owner clears set-id bits and
// capabilities, an ACL is also the group bits, and the time must be last.
// Immutable and append-only are left for the end of the restore.
func (s *setter) apply() error {
	flags, late := uint32(0), uint32(0)
	if s.flagged() && s.looksAtFlags() {
		flags, _ = getFlags(s.h.fd)
		late = flags & lateFlags
	}
	err := s.once(flags)
	if late != 0 && errors.Is(err, unix.EPERM) {
		// It is locked against changes, and the policy wants one.
		if err := setFlagsOf(s.h.fd, flags&^lateFlags); err != nil {
			return fmt.Errorf("clear file flags: %w", err)
		}
		flags &^= lateFlags
		late = 0
		err = s.once(flags)
	}
	if err != nil {
		return err
	}
	return s.lateFlags(flags, late)
}

func (s *setter) lateFlags(flags, late uint32) error {
	want := s.a.flags & lateFlags
	if !s.flagged() || want == late {
		return nil
	}
	s.changed = s.changed || want != s.unlocked
	if want == 0 {
		return setFlagsOf(s.h.fd, flags&^lateFlags)
	}
	s.r.deferFlags(s, want)
	return nil
}

// flagged tells whether this kind of file has flags at all.
func (s *setter) flagged() bool {
	return s.h.fd >= 0 && !s.h.special
}

func (s *setter) looksAtFlags() bool {
	return !s.was.fresh || s.a.flags&earlyFlags != 0 || s.in != nil && s.in.inherits
}

func (s *setter) once(flags uint32) error {
	owner, chowned, err := s.owner()
	if err != nil {
		return err
	}
	set, err := s.stripXattrs()
	if err != nil {
		return err
	}
	if err := s.mode(owner, chowned); err != nil {
		return err
	}
	if err := s.setXattrs(set); err != nil {
		return err
	}
	if s.flagged() && s.looksAtFlags() {
		s.earlyFlags(flags)
	}
	if !s.changed && s.was.mtime == s.a.mtime {
		return nil
	}
	s.changed = true
	name := s.h.name
	if s.a.typ == fileindex.Dir {
		return s.times(s.h.fd, ".")
	}
	return s.times(s.h.dir, name)
}

func (s *setter) times(dir int, name string) error {
	if err := setTimeAt(dir, name, s.a.mtime); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

// owner sets owner and group; right tells whether they are what they should be.
func (s *setter) owner() (right, chowned bool, err error) {
	if s.was.owned && s.was.uid == s.a.uid && s.was.gid == s.a.gid {
		return true, false, nil
	}
	err = s.h.chown(int(s.a.uid), int(s.a.gid))
	if err == nil {
		s.changed = true
		return true, true, nil
	}
	if s.r.isRoot || !errors.Is(err, unix.EPERM) {
		return false, false, fmt.Errorf("set owner %d:%d: %w", s.a.uid, s.a.gid, err)
	}
	s.r.report.lose("restore.owner", "owner", s.path(), err)
	// The group alone may be allowed.
	return false, s.h.chown(-1, int(s.a.gid)) == nil, nil
}

func (s *setter) mode(ownerRight, chowned bool) error {
	if s.h.fd < 0 {
		return nil // a symbolic link has none
	}
	want := s.a.mode
	if !ownerRight {
		want &^= setID // a program must not run as somebody it does not belong to
	}
	if s.was.owned && s.was.mode == want && !(chowned && want&setID != 0) {
		return nil
	}
	s.changed = true
	if err := s.h.chmod(want); err != nil {
		return fmt.Errorf("set mode %04o: %w", want, err)
	}
	return nil
}
