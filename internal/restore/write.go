//go:build unix

package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// work does batches until there are no more. After a stop it only lets go of them.
func (r *run) work(batches <-chan batch) {
	for b := range batches {
		r.do(b)
		r.tally.done()
	}
}

func (r *run) do(b batch) {
	if r.ctx.Err() != nil {
		b.drop()
		return
	}
	r.report.at(b[0].path())
	if b[0].kind == 0 {
		r.withUnpacker(func(*unpacker) { b[0].run(&unpacked{}, nil) })
		return
	}
	r.fetch(b)
}

// fetch does the groups of a batch as their chunks arrive. The store may call back from
// several goroutines, one for each chunk.
func (r *run) fetch(b batch) {
	ids := make([]seal.ID, len(b))
	for i, g := range b {
		ids[i] = g.h.ID()
	}
	done := make([]bool, len(b))
	err := r.o.Store.Get(r.ctx, ids, func(i int, rec []byte) error {
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		done[i] = true
		r.c.Chunks.Add(1)
		r.c.FetchedBytes.Add(int64(len(rec)))
		r.withUnpacker(func(u *unpacker) { r.arrived(b[i], u, rec) })
		return nil
	})
	var rest batch
	for i, g := range b {
		if !done[i] {
			rest = append(rest, g)
		}
	}
	r.missing(rest, err)
}

// missing deals with chunks that did not come. The error of a batch is that of one of them.
func (r *run) missing(rest batch, err error) {
	switch {
	case len(rest) == 0:
	case r.ctx.Err() != nil:
		rest.drop()
	case len(rest) > 1 && (err == nil || !concernsAll(err)):
		for _, g := range rest {
			r.do(batch{g})
		}
	default:
		g := rest[0]
		if err == nil {
			err = errs.New(errs.Internal, "", "fetch chunk %s: the store answered without it", g.h.ID())
		}
		if r.reads.fatal(err) {
			r.stop(fmt.Errorf("fetch chunk %s: %w", g.h.ID(), err))
			rest.drop()
			return
		}
		g.run(&unpacked{}, err)
	}
}

// arrived does the jobs of a group whose chunk has come.
func (r *run) arrived(g *group, u *unpacker, rec []byte) {
	r.reads.good()
	content, err := u.unpack(rec, g)
	if err != nil && r.reads.fatal(err) {
		r.stop(err)
		g.drop()
		return
	}
	g.run(&content, err)
}

// withUnpacker waits for a turn to use a processor.
func (r *run) withUnpacker(fn func(*unpacker)) {
	u := <-r.unpackers
	defer func() { r.unpackers <- u }()
	fn(u)
}

// unpacked is the content of a chunk.
type unpacked struct {
	content []byte
	bundle  *seal.Bundle
}

// unpack opens a group's chunk; of a bundle, what its jobs need.
func (u *unpacker) unpack(rec []byte, g *group) (unpacked, error) {
	r, err := u.parse(rec, g.kind)
	if err != nil {
		return unpacked{}, err
	}
	var s unpacked
	if g.kind == seal.KindBundle {
		u.members = u.members[:0]
		for i := range g.jobs {
			u.members = append(u.members, g.jobs[i].x.Member)
		}
		var b seal.Bundle
		s.content, b, err = u.opener.OpenMembers(u.buf, &r, g.h, u.members)
		s.bundle = &b
	} else {
		s.content, err = u.opener.Open(u.buf, &r, g.h)
	}
	if err != nil {
		return unpacked{}, err
	}
	u.buf = s.content
	return s, nil
}

// extent is the part of the chunk that x names.
func (s *unpacked) extent(x *fileindex.Extent) ([]byte, error) {
	switch {
	case s.bundle != nil && int(x.Member) < s.bundle.Len():
		if m := s.bundle.Member(int(x.Member)); int64(len(m)) == x.Len {
			return m, nil
		}
	case s.bundle == nil && int64(x.Offset)+x.Len <= int64(len(s.content)):
		return s.content[x.Offset : int64(x.Offset)+x.Len], nil
	}
	return nil, errs.New(errs.Corrupt, "entry.extent", "chunk %s does not hold the piece that the file index names", x.H.ID())
}

func (g *group) path() []byte {
	switch j := &g.jobs[0]; {
	case j.big != nil:
		return j.big.it.path()
	case j.check != nil:
		return j.check.path()
	default:
		return j.it.path()
	}
}

func (g *group) run(content *unpacked, err error) {
	for i := range g.jobs {
		g.jobs[i].run(content, err)
	}
}

func (b batch) drop() {
	for _, g := range b {
		g.drop()
	}
}

func (g *group) drop() {
	for i := range g.jobs {
		switch j := &g.jobs[i]; {
		case j.big != nil:
			j.big.drop()
		case j.check != nil:
			j.check.drop()
		default:
			j.it.drop()
		}
	}
}

// run does one job; err says that its chunk cannot be had.
func (j *job) run(s *unpacked, err error) {
	switch {
	case j.link != nil:
		j.link.link(j.it)
	case j.big != nil:
		j.big.piece(j, s, err)
	case j.check != nil:
		j.check.piece(j, s, err)
	case err != nil:
		j.it.fail(err)
	case j.it.act == metadata:
		j.it.metadataOnly()
	case j.it.typ == fileindex.File:
		j.small(s)
	default:
		j.it.special()
	}
}

// small writes a file whose content is in memory.
func (j *job) small(s *unpacked) {
	var content []byte
	if j.x.Len > 0 {
		var err error
		if content, err = s.extent(&j.x); err != nil {
			j.it.fail(err)
			return
		}
	}
	if j.it.act == compare && j.it.holds(content) {
		j.it.metadataOnly()
		return
	}
	if err := j.it.write(content); err != nil {
		j.it.fail(err)
		return
	}
	j.it.done(true)
}

// holds tells whether the file that is there has this content.
func (it *item) holds(content []byte) bool {
	fd, err := openAt(it.dir.fd, it.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = closeFD(fd) }()
	buf := make([]byte, len(content)+1)
	n := 0
	for n < len(buf) {
		var k int
		err := retry(func() (err error) { k, err = unix.Read(fd, buf[n:]); return err })
		if err != nil {
			return false
		}
		if k == 0 {
			break
		}
		n += k
	}
	return bytes.Equal(buf[:n], content)
}

// inPlace tells whether a new file may grow under its own name. What a kill leaves half
// written then has another size or mtime, so the policies that look at these put it right;
// the others would take it for the user's own.
func (it *item) inPlace() bool {
	p := it.dir.r.o.Overwrite
	return it.there == nil && (p == Always || p == Different)
}

// create makes the new file and answers under which name.
func (it *item) create() (fd int, name string, err error) {
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW
	mode := it.mode & 0o777
	if it.inPlace() {
		fd, err = openAt(it.dir.fd, it.name, flags, mode)
		return fd, it.name, wrap("create", err)
	}
	name = tempName(it.name)
	fd, err = openAt(it.dir.fd, name, flags, mode)
	if errors.Is(err, unix.EEXIST) {
		if err = clearTemp(it.dir.fd, name); err == nil {
			fd, err = openAt(it.dir.fd, name, flags, mode)
		}
	}
	return fd, name, wrap("create temporary file", err)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (it *item) write(content []byte) error {
	fd, name, err := it.create()
	if err != nil {
		return err
	}
	prepareFlags(fd, it.flags)
	if err := writeAll(fd, content); err != nil {
		_ = closeFD(fd)
		_ = clearTemp(it.dir.fd, name)
		return wrap("write", err)
	}
	it.dir.r.flusher.wrote(int64(len(content)))
	return it.complete(fd, name)
}

// complete sets the metadata of a file just written, closes it, and puts it in place.
func (it *item) complete(fd int, name string) error {
	err := it.setMeta(handle{fd: fd, dir: it.dir.fd, name: name}, it.freshState())
	if cerr := closeFD(fd); err == nil && cerr != nil {
		err = wrap("close", cerr)
	}
	if err == nil && name != it.name {
		err = putInPlace(it, name)
	}
	if err != nil {
		_ = clearTemp(it.dir.fd, name)
	}
	return err
}

func (it *item) freshState() state {
	r, d := it.dir.r, it.dir
	s := state{fresh: true, owned: d.predictable && !d.acl}
	s.uid, s.gid, s.mode = r.uid, r.gid, it.mode&0o777&^r.umask
	return s
}

func (it *item) setMeta(h handle, was state) error {
	s := setter{r: it.dir.r, in: it.dir, final: it.name, h: h, a: &it.attrs, was: was, path: it.path}
	return s.apply()
}

// putInPlace renames the finished file over what is there.
func putInPlace(it *item, temp string) error {
	err := renameAt(it.dir.fd, temp, it.name)
	if errors.Is(err, unix.EPERM) && it.there != nil && unlock(it.dir.fd, it.name) {
		err = renameAt(it.dir.fd, temp, it.name)
	}
	return wrap("put in place", err)
}

// unlock clears immutable and append-only of what is to be replaced.
func unlock(dir int, name string) bool {
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer func() { _ = closeFD(fd) }()
	flags, ok := getFlags(fd)
	return ok && flags&lateFlags != 0 && setFlagsOf(fd, flags&^lateFlags) == nil
}

// metadataOnly puts the metadata right of what has the right content already.
func (it *item) metadataOnly() {
	changed, err := it.fixMeta()
	if err != nil {
		it.fail(err)
		return
	}
	it.done(changed)
}

func (it *item) fixMeta() (bool, error) {
	s := setter{r: it.dir.r, in: it.dir, final: it.name, a: &it.attrs, path: it.path}
	s.h = handle{fd: -1, dir: it.dir.fd, name: it.name}
	s.was = state{present: *it.there, owned: true}
	if it.typ == fileindex.Symlink {
		err := s.apply()
		return s.changed, err
	}
	var err error
	if it.typ == fileindex.File {
		s.h.fd, err = openAt(it.dir.fd, it.name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	} else {
		s.h.special = true
		s.h.fd, err = openMeta(it.dir.fd, it.name)
	}
	if err != nil {
		return false, wrap("open", err)
	}
	defer func() { _ = closeFD(s.h.fd) }()
	// What was opened must be what was looked at, not something put there since.
	now, err := statFD(s.h.fd)
	if err != nil {
		return false, wrap("look at", err)
	}
	if now.dev != it.there.dev || now.ino != it.there.ino {
		return false, errs.New(errs.Busy, "restore.moved", "it was replaced by somebody else during the restore")
	}
	err = s.apply()
	return s.changed, err
}
