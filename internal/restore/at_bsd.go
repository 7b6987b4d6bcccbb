//go:build unix && !linux

package restore

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// What is here on Linux only (extended attributes, file flags, preallocation) is reported as
// lost on these systems, once a kind.

const (
	lateFlags  = 0
	earlyFlags = 0
)

var errNotHere = errs.New(errs.Invalid, "restore.unsupported", "not supported on this system")

func timespec(t fileindex.Time) unix.Timespec {
	ts, _ := unix.TimeToTimespec(t.Time()) // fails only beyond the year 292 billion
	return ts
}

// accessTime is the modification time: not every system here can leave it as it is.
func accessTime(t fileindex.Time) unix.Timespec { return timespec(t) }

func creationMask() uint32 { return 0o777 }

// creationOwner answers nobody: new files take the group of their directory here.
func creationOwner() (uid, gid uint32) { return uint32(os.Geteuid()), ^uint32(0) }

func getFlags(int) (flags uint32, ok bool) { return 0, false }

func setFlagsOf(int, uint32) error { return nil }

func prepareFlags(int, uint32) {}

func preallocate(int, int64, int64) error { return nil }

// Holes are not made here: zeros read the same.
func punch(fd int, at, length int64) error { return writeZeros(fd, at, length) }

func hasData(int, int64, int64) bool { return true }

func allData(int, int64, int64) bool { return true }

func bornSince(int, string, time.Time) bool { return false }

// forget does nothing: what is read back may come from memory here.
func forget(int) {}

func syncTarget(int) error { return unix.Sync() }

func syncAll() { _ = unix.Sync() }

func mknodAt(int, string, *attrs) error { return errNotHere }

func openMeta(dir int, name string) (int, error) { return -1, errNotHere }

func chmodMeta(int, uint32) error { return errNotHere }

func chownMeta(int, int, int) error { return errNotHere }

func (s *setter) stripXattrs() ([]fileindex.Xattr, error) { return s.a.xattrs, nil }

func (s *setter) setXattrs(list []fileindex.Xattr) error {
	if len(list) > 0 && s.was.fresh {
		s.r.report.lose("restore.xattr", "extended attributes", s.path(), errNotHere)
	}
	return nil
}

func (s *setter) earlyFlags(uint32) {}

func (d *dir) inherited() {}

func (d *dir) disinherit(bool) error { return nil }

func setLateFlags(int, uint32) error { return nil }
