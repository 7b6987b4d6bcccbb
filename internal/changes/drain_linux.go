package changes

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/extsort"
)

var past = time.Unix(1, 0)

// Since answers what was told since the token parent, and what is open for writing now.
func (m *journalMoment) Since(ctx context.Context, parent []byte, view View) (*Set, error) {
	j := m.j
	t, why := parseJournalToken(parent)
	switch {
	case why != "":
		return doubt(why, nil), nil
	case t.boot != j.boot:
		return doubt(Rebooted, nil), nil
	case t.journal != j.spool.journal:
		return doubt(OtherJournal, nil), nil
	}
	mnt, err := openMount(j.options.Mount)
	if err != nil {
		return doubt(TrackerFailed, err), nil
	}
	defer mnt.close()
	if mnt.fsid != j.fsid {
		return doubt(Unmounted, nil), nil
	}
	d := &drain{
		mount: mnt, view: &view, set: newBuilder(&view),
		names:  extsort.New(view.Scratch, view.memory()/4),
		inodes: extsort.New(view.Scratch, view.memory()/8),
		dirs:   extsort.New(view.Scratch, view.memory()/8),
	}
	defer d.close()
	// Who has a file open is looked at first: who closes it meanwhile is told of.
	if why, err := d.writers(ctx, j.options.Trust); why != "" || err != nil {
		return doubtOr(ctx, why, err)
	}
	if why, err := d.read(ctx, j, t); why != "" || err != nil {
		return doubtOr(ctx, why, err)
	}
	if why, err := d.run(ctx); why != "" || err != nil {
		return doubtOr(ctx, why, err)
	}
	return d.set.finish()
}

// doubtOr is a doubt with a reason, else an error.
func doubtOr(ctx context.Context, why Reason, err error) (*Set, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if why == "" {
		return nil, err
	}
	return doubt(why, err), nil
}

// drain turns facts into a Set.
type drain struct {
	mount *mount
	view  *View
	set   *builder

	names  *extsort.Sorter // facts by directory, name and file
	inodes *extsort.Sorter // files that may have other names, by their handle
	dirs   *extsort.Sorter // directories that are gone
	rec    []byte
}

func (d *drain) close() {
	d.set.close()
	d.names.Close()
	d.inodes.Close()
	d.dirs.Close()
}

// read collects the facts of the journal since a token.
func (d *drain) read(ctx context.Context, j *Journal, t journalToken) (Reason, error) {
	j.mu.Lock()
	err := j.drain()
	end, files := j.spool.end, j.files()
	floor, why := j.spool.floor, j.spool.why
	j.mu.Unlock()
	switch {
	case err != nil:
		return OtherJournal, err
	case t.position < floor:
		return why, nil
	case t.position > end:
		return SpoolDamaged, fmt.Errorf("%w: position %d of %d", errSpool, t.position, end)
	case !j.alive():
		return Unmounted, nil
	}
	if err := j.spool.marked(files, t.position, t.mark); err != nil {
		return SpoolDamaged, err
	}
	err = j.spool.read(files, t.position, end, func(_ uint64, kind byte, b []byte) error {
		if kind != recordFact {
			return nil
		}
		f, err := decodeFact(b)
		if err != nil {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
		return d.add(&f)
	})
	if errors.Is(err, errSpool) {
		j.mu.Lock()
		defer j.mu.Unlock()
		if t.position < j.spool.floor { // it was trimmed while we read
			return j.spool.why, err
		}
		return SpoolDamaged, err
	}
	return "", err
}

// A record of names: dir, name, target, each with its length in a byte before it; facts, 2.
func (d *drain) add(f *fact) error {
	d.rec = d.rec[:0]
	for _, p := range [][]byte{f.dir, f.name, f.target} {
		d.rec = append(append(d.rec, byte(len(p))), p...)
	}
	d.rec = binary.BigEndian.AppendUint16(d.rec, uint16(f.what))
	return d.names.Add(d.rec)
}

// run looks the names up.
func (d *drain) run(ctx context.Context) (Reason, error) {
	var dir openDir
	defer dir.close()
	var cur fact
	var room []byte
	place := func() error {
		if cur.what == 0 {
			return nil
		}
		return d.place(&dir, &cur)
	}
	n := 0
	err := d.names.Each(func(rec []byte) error {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		body := rec[:len(rec)-2]
		what := facts(binary.BigEndian.Uint16(rec[len(body):]))
		if cur.what != 0 && bytes.Equal(room, body) {
			cur.what |= what
			return nil
		}
		if err := place(); err != nil {
			return err
		}
		room = append(room[:0], body...)
		cur = fact{what: what}
		rest := room
		for _, p := range []*[]byte{&cur.dir, &cur.name, &cur.target} {
			*p, rest, _ = cutShort(rest) // we wrote it
		}
		return nil
	})
	if err == nil {
		err = place()
	}
	if err == nil {
		err = d.files(ctx)
	}
	if err == nil {
		err = d.checkDead()
	}
	var u unknown
	if errors.As(err, &u) {
		return u.why, u.err
	}
	return "", err
}

// unknown is an error that makes everything doubtful.
type unknown struct {
	why Reason
	err error
}

func (u unknown) Error() string { return fmt.Sprintf("%s: %v", u.why, u.err) }

// openDir is the directory whose names are looked up.
type openDir struct {
	handle []byte
	fd     int
	open   bool
	gone   bool
	deep   bool // its path is too long to be told; path is of a directory above
	path   []byte
}

func (o *openDir) close() {
	if o.open {
		_ = unix.Close(o.fd)
		o.open = false
	}
}

// enter opens the directory of a handle.
func (d *drain) enter(o *openDir, handle []byte) error {
	if o.handle != nil && bytes.Equal(o.handle, handle) {
		return nil
	}
	o.close()
	*o = openDir{handle: bytes.Clone(handle)}
	fd, err := openHandle(d.mount.fd, handle)
	if errors.Is(err, unix.ESTALE) {
		o.gone = true
		return nil
	}
	if err != nil {
		return unknown{TrackerFailed, fmt.Errorf("open a directory by its handle: %w", err)}
	}
	o.fd, o.open = fd, true
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return unknown{TrackerFailed, err}
	}
	if st.Nlink == 0 {
		o.gone = true
		return nil
	}
	o.path, o.deep, err = d.mount.below(fd)
	if err != nil {
		return unknown{TrackerFailed, err}
	}
	return nil
}

// dead notes that a directory was found gone, or was told to be.
func (d *drain) dead(handle []byte, told bool) error {
	d.rec = append(append(d.rec[:0], byte(len(handle))), handle...)
	if told {
		d.rec = append(d.rec, 0)
	} else {
		d.rec = append(d.rec, 1)
	}
	return d.dirs.Add(d.rec)
}

// checkDead makes sure that a removal was told of every directory that is gone: that is what
// its names are covered by.
func (d *drain) checkDead() error {
	var told []byte
	return d.dirs.Each(func(rec []byte) error {
		n := len(rec) - 1
		if rec[n] == 0 {
			told = append(told[:0], rec[:n]...)
			return nil
		}
		if !bytes.Equal(told, rec[:n]) {
			return unknown{Unnamed, fmt.Errorf("directory %x is gone without a word", rec[1:n])}
		}
		return nil
	})
}

// place finds out which path a fact is about.
func (d *drain) place(o *openDir, f *fact) error {
	self := len(f.name) == 0 || string(f.name) == "."
	if f.what&factIsDir != 0 && f.what&(factDead|factDeleted) != 0 {
		handle := f.target
		if len(handle) == 0 && self {
			handle = f.dir
		}
		if err := d.dead(handle, true); err != nil {
			return err
		}
	}
	switch {
	case f.what&^(factDead|factIsDir) == 0:
		return nil // what it was called is told by others
	case len(f.dir) == 0:
		return d.file(f, nil)
	}
	if err := d.enter(o, f.dir); err != nil {
		return err
	}
	switch {
	case o.gone:
		// Its names went with it, and that is told, or was before the token. A file that is
		// still open may be written to afterwards, and may have names elsewhere.
		if f.what&factNames != 0 {
			if err := d.dead(f.dir, false); err != nil {
				return err
			}
		}
		if f.what&factIsDir == 0 && len(f.target) > 0 {
			return d.file(f, nil)
		}
		return nil
	case self && !o.deep:
		return d.set.add(&Change{Path: o.path, What: Metadata})
	case self:
		return d.set.add(&Change{Path: o.path, What: Subtree})
	}
	return d.name(o, f)
}

// name takes a name in an open directory.
func (d *drain) name(o *openDir, f *fact) error {
	if f.what&factNames != 0 && !o.deep {
		if err := d.set.add(&Change{Path: o.path, What: Listing | Metadata}); err != nil {
			return err
		}
	}
	c := Change{Path: join(string(o.path), string(f.name)), What: f.what.what()}
	var st unix.Stat_t
	err := unix.Fstatat(o.fd, string(f.name), &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == nil {
		c.Inode = st.Ino
	}
	if o.deep {
		c = Change{Path: o.path, What: Subtree}
	}
	if err := d.set.add(&c); err != nil {
		return err
	}
	if f.what&factIsDir != 0 {
		return nil
	}
	if len(f.target) == 0 {
		return unknown{Unnamed, fmt.Errorf("an event about %q names no file", c.Path)}
	}
	// The file may have other names; a plain one that is where it was told has not.
	here := err == nil && bytes.Equal(handleOf(o.fd, string(f.name), 0), f.target)
	if here && st.Nlink == 1 {
		return nil
	}
	if !here || o.deep {
		return d.file(f, nil)
	}
	return d.file(f, c.Path)
}

// what is what a fact says of its name.
func (f facts) what() What {
	w := Metadata
	if f&factNames != 0 {
		w |= everything
		if f&factIsDir != 0 {
			w |= Subtree
		}
	}
	if f&factSubtree != 0 {
		w |= Subtree | everything
	}
	if f&(factModified|factClosed) != 0 {
		w |= Content
	}
	if f&factOpen != 0 {
		w |= Content | Open
	}
	return w
}
