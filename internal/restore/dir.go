//go:build unix

package restore

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// dir is a directory of the target. The planner opens it and leaves it; jobs in between hold
// it by a reference, and whoever lets go last sets its metadata and closes it. A directory's
// times thus come after everything in it.
type dir struct {
	r      *run
	parent *dir // nil: the base
	name   string
	path   string // in the point, without a slash at its start
	fd     int    // -1: there is none
	life   dirLife
	refs   atomic.Int64

	a   *attrs   // nil: its metadata is left as it is
	was *present // nil: made by this restore

	unlocked uint32 // immutable and append-only, cleared for the time being

	// What it hands to new files: a default ACL, file flags.
	acl, inherits bool
	// predictable: owner and mode of what is made in it are what this process says.
	predictable bool

	// counted: it is one of the entries planned, not only on the way to one.
	counted bool

	// keep are the names that DeleteExtra spares; nil: nothing is deleted here.
	keep map[string]struct{}
	// whole: the planner has seen everything that belongs here.
	whole bool
}

// dirLife tells whether things can be put into a directory.
type dirLife int

const (
	live    dirLife = iota
	virtual         // dry run: it would be made
	dead            // it could not be made: all below fails
	passed          // the policy leaves something else under its name: all below is passed over
)

func (d *dir) fresh() bool { return d.was == nil }

// names leads from the base to d.
func (d *dir) names() []string {
	var names []string
	for ; d.parent != nil; d = d.parent {
		names = append(names, d.name)
	}
	slices.Reverse(names)
	return names
}

func (d *dir) fullPath() []byte { return []byte("/" + d.path) }

func (d *dir) child(name string) string {
	if d.path == "" {
		return name
	}
	return d.path + "/" + name
}

func (d *dir) hold() { d.refs.Add(1) }

// release lets go of d; the last one finishes it.
func (d *dir) release() {
	if d.refs.Add(-1) > 0 {
		return
	}
	if d.life == live {
		d.finish()
		_ = closeFD(d.fd)
		d.fd = -1
		d.r.openDirs.Add(-1)
	}
}

func (d *dir) finish() {
	if d.whole && d.keep != nil && d.r.ctx.Err() == nil {
		d.removeExtra()
	}
	if d.a == nil {
		return
	}
	if d.r.o.DryRun {
		d.count(outSkipped)
		return
	}
	s := setter{r: d.r, in: d.parent, final: d.name, a: d.a, path: d.fullPath, unlocked: d.unlocked, h: handle{fd: d.fd, name: d.name}}
	if d.fresh() {
		s.was = state{fresh: true, owned: d.predictable}
		s.was.uid, s.was.gid, s.was.mode = d.r.uid, d.r.gid, newDirMode
	} else {
		// Its times have moved with what was put into it: look again.
		now, err := statFD(d.fd)
		if err != nil {
			d.r.failedDir(d.fullPath(), fmt.Errorf("look at it again: %w", err))
			return
		}
		s.was = state{present: *now, owned: true}
	}
	err := s.apply()
	switch {
	case err != nil:
		d.r.failedDir(d.fullPath(), err)
	case d.fresh():
		d.count(outNew)
		d.r.report.does("created", d.fullPath)
	case s.changed:
		d.count(outChanged)
		d.r.report.does("changed", d.fullPath)
	default:
		d.count(outSkipped)
	}
}

// removeExtra removes what stands in d and not in the point.
func (d *dir) removeExtra() {
	names, err := listDir(d.fd)
	if err != nil {
		d.r.report.fail(d.fullPath(), fmt.Errorf("delete what is extra: list: %w", err))
		return
	}
	for _, name := range names {
		if _, ok := d.keep[name]; ok {
			continue
		}
		path := []byte("/" + d.child(name))
		if d.r.o.DryRun {
			d.r.report.would("delete", path)
			d.r.c.DeletedFiles.Add(1)
			continue
		}
		n, err := removeAt(d.fd, name, d.was.dev)
		d.r.c.DeletedFiles.Add(n)
		if n > 0 {
			d.r.report.does("deleted", func() []byte { return path })
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			d.r.report.fail(path, err)
		}
	}
}

func (d *dir) count(o outcome) {
	if d.counted {
		d.r.countDir(o)
	}
}

// enter opens or makes d, which is to look like a. An ancestor that is there stays as it is.
func (d *dir) enter(a *attrs, ancestor bool) error {
	switch d.parent.life {
	case virtual:
		d.wouldMake("create")
		return nil
	case dead, passed:
		d.life = d.parent.life
		return nil
	}
	var there *present
	if !d.parent.fresh() {
		var err error
		if there, err = statAt(d.parent.fd, d.name); err != nil {
			return wrap("look at what is there", err)
		}
	}
	act := decide(d.r.o.Overwrite, a, there)
	if act == leave && there.typ == fileindex.Dir && d.r.madeEarlier(d.parent.fd, d.name) {
		act = metadata
	}
	switch {
	case there == nil && d.r.o.DryRun:
		d.wouldMake("create")
		return nil
	case there == nil:
		d.a = a
		return d.make()
	case there.typ == fileindex.Dir:
		return d.take(a, there, ancestor || act == leave)
	case ancestor:
		return errs.New(errs.Exists, "restore.in-the-way", "on the target it is a %s; nothing is restored through it", there.typ).
			WithHint("restore to another directory, or move it out of the way")
	case act == leave:
		d.life = passed
		d.r.report.warn("restore.in-the-way", d.fullPath(), "on the target it is a %s, which the policy %q leaves; nothing below it is restored", there.typ, d.r.o.Overwrite)
		d.count(outSkipped)
		return nil
	case d.r.o.DryRun:
		d.wouldMake("replace by a directory")
		return nil
	}
	err := unlinkAt(d.parent.fd, d.name)
	if errors.Is(err, unix.EPERM) && unlock(d.parent.fd, d.name) {
		err = unlinkAt(d.parent.fd, d.name)
	}
	if err != nil {
		return fmt.Errorf("remove the %s in its place: %w", there.typ, err)
	}
	d.a = a
	return d.make()
}

// madeEarlier tells whether an earlier attempt of this restore made a directory, which then
// still looks as it does while it is filled.
func (r *run) madeEarlier(dir int, name string) bool {
	began := r.o.Earlier.Began
	return !began.IsZero() && bornSince(dir, name, began)
}

func (d *dir) wouldMake(what string) {
	d.life = virtual
	d.r.report.would(what, d.fullPath())
	d.count(outNew)
}

// take goes on in a directory that exists.
func (d *dir) take(a *attrs, there *present, asItIs bool) error {
	d.was = there
	if there.dev != d.r.base.was.dev {
		d.r.elsewhere.Store(true)
	}
	if !asItIs {
		d.a = a
		d.maybeDelete()
	}
	if err := d.open(); err != nil {
		return wrap("open directory", err)
	}
	if asItIs {
		d.count(outSkipped)
	}
	return nil
}

// maybeDelete has what is extra deleted, if that was asked for.
func (d *dir) maybeDelete() {
	if d.r.o.DeleteExtra && d.was != nil {
		d.keep = make(map[string]struct{})
		spared(d.r.renames, d.path, d.keep)
	}
}

// limitDelete spares directories whose content was left out of the backup, or could not be
// read: what is not in the point there may well belong there.
func (d *dir) limitDelete(s fileindex.State) {
	if s&(fileindex.Ancestor|fileindex.CacheTagged|fileindex.Mountpoint|fileindex.Incomplete) != 0 {
		d.keep = nil
	}
}

// clearDir removes the directory that stands where a file belongs.
func (d *dir) clearDir(name string, there *present) error {
	err := rmdirAt(d.fd, name)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("remove the directory in its place: %w", err)
	case !d.r.o.DeleteExtra:
		return errs.New(errs.Exists, "restore.not-empty", "a directory that is not empty is in its place").
			WithHint("--delete-extra removes it")
	}
	n, err := removeAt(d.fd, name, there.dev)
	d.r.c.DeletedFiles.Add(n)
	return err
}

// newDirMode is the mode of a directory while it is filled.
const newDirMode = 0o700

// open takes over a directory that exists.
func (d *dir) open() error {
	fd, err := openDirAt(d.parent.fd, d.name)
	if err != nil {
		return err
	}
	d.adopt(fd)
	if d.a == nil || d.r.o.DryRun {
		return nil
	}
	// A locked directory takes no files; it is locked again at the end if the point says so.
	if flags, ok := getFlags(fd); ok && flags&lateFlags != 0 {
		if err := setFlagsOf(fd, flags&^lateFlags); err == nil {
			d.unlocked = flags & lateFlags
		} else if d.r.isRoot {
			return fmt.Errorf("clear file flags: %w", err)
		}
	}
	return nil
}

func (d *dir) adopt(fd int) {
	d.fd, d.life = fd, live
	d.r.openDirs.Add(1)
	d.inherited()
}

// make makes a directory and opens it.
func (d *dir) make() error {
	if err := mkdirAt(d.parent.fd, d.name, newDirMode); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	fd, err := openDirAt(d.parent.fd, d.name)
	if err != nil {
		return fmt.Errorf("open directory just made: %w", err)
	}
	d.fd, d.life = fd, live
	d.r.openDirs.Add(1)
	now, err := statFD(fd)
	if err != nil {
		return fmt.Errorf("look at directory just made: %w", err)
	}
	d.predictable = now.uid == d.r.uid && now.gid == d.r.gid && now.mode == newDirMode
	if d.parent.acl || d.parent.inherits {
		return d.disinherit(d.parent.inherits)
	}
	return nil
}
