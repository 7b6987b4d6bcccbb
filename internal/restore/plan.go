//go:build unix

package restore

import (
	"context"
	"fmt"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// planner walks the file index in its order, opens and makes the directories, applies the
// policy to every entry, and hands jobs to the window. It is one goroutine.
type planner struct {
	r      *run
	cursor *fileindex.Cursor
	// second looks things up beside the walk: ancestors.
	second *fileindex.Cursor
	// links looks up inodes with several names.
	links  *fileindex.Cursor
	window *window
	// stack are the directories from the base to the one the walk is in.
	stack  []*dir
	inodes map[inodeKey]*inode
	last   string // path of the last entry that was read
	owners *owners
	part   *part // what is being planned
	// estimate counts what would be fetched; nil: not wanted.
	estimate *estimate
}

func (r *run) newPlanner(to sender) *planner {
	p := &planner{
		r:      r,
		cursor: fileindex.NewCursor(r.nodes, seal.KindNode, r.root.Paths),
		second: fileindex.NewCursor(r.nodes, seal.KindNode, r.root.Paths),
		links:  fileindex.NewCursor(r.nodes, seal.KindInode, r.root.Inodes),
		window: newWindow(to),
		inodes: make(map[inodeKey]*inode),
		owners: r.owners,
	}
	return p
}

func (p *planner) close() {
	p.cursor.Close()
	p.second.Close()
	p.links.Close()
}

// plan plans all selections and leaves all directories.
func (p *planner) plan(ctx context.Context, parts []part) error {
	p.stack = []*dir{p.r.base}
	err := p.selections(ctx, parts)
	if err == nil {
		err = p.estimate.flush(ctx)
	}
	p.window.flush()
	for len(p.stack) > 0 {
		p.leave(err == nil)
	}
	return err
}

// easeDescriptors lets the workers catch up when many directories are held open by jobs.
func (p *planner) easeDescriptors() {
	if p.r.openDirs.Load()-int64(len(p.stack)) > p.r.maxDirs {
		p.window.flush()
		p.r.tally.wait()
	}
}

func (p *planner) top() *dir { return p.stack[len(p.stack)-1] }

// leave pops a directory; whole says that all of it was planned.
func (p *planner) leave(whole bool) {
	d := p.top()
	p.stack = p.stack[:len(p.stack)-1]
	d.whole = whole
	d.release()
}

// enter makes the directory that path lies in the top of the stack.
func (p *planner) enter(ctx context.Context, parent string) error {
	for len(p.stack) > 1 && !within(p.top().path, []byte(parent)) {
		p.leave(true)
	}
	for p.top().path != parent {
		// Directories above a chosen path are not walked through.
		top := p.top().path
		rest := strings.TrimPrefix(strings.TrimPrefix(parent, top), "/")
		name, _, _ := strings.Cut(rest, "/")
		if err := p.ancestor(ctx, p.top().child(name)); err != nil {
			return err
		}
	}
	return nil
}

// ancestor opens or makes a directory above the chosen paths: what is there stays as it is.
func (p *planner) ancestor(ctx context.Context, path string) error {
	a := attrs{typ: fileindex.Dir, mode: 0o755, uid: p.r.uid, gid: p.r.gid}
	e, err := p.second.Lookup(ctx, fileindex.PathKey([]byte(path)))
	switch {
	case err == nil && e.Type == fileindex.Dir:
		a = attrsOf(e, p.owners)
	case err != nil && p.r.reads.fatal(err):
		return fmt.Errorf("read file index: %w", err)
	}
	p.push(path, &a, true, false)
	return nil
}

// entry plans one entry.
func (p *planner) entry(ctx context.Context, e *fileindex.Entry) error {
	p.r.planned(e)
	path := p.part.place(string(e.Path))
	if path == p.r.base.path {
		p.atBase(e)
		return nil
	}
	parent, name := splitPath(path)
	if err := p.enter(ctx, parent); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		if e.Type == fileindex.Dir {
			p.r.failedDir([]byte("/"+path), err)
			p.pushDead(path, dead)
		} else {
			p.r.failed([]byte("/"+path), e.Size, err)
		}
		return nil
	}
	d := p.top()
	if d.keep != nil {
		d.keep[name] = struct{}{}
	}
	if d.life == dead || d.life == passed {
		p.below(d, e)
		return nil
	}
	switch e.Type {
	case fileindex.Dir:
		a := attrsOf(e, p.owners)
		p.push(path, &a, e.State&fileindex.Ancestor != 0, true)
		p.top().limitDelete(e.State)
		return nil
	case fileindex.Link:
		return p.link(ctx, d, name, e)
	}
	return p.file(ctx, d, name, e, nil)
}

// atBase gives the base itself the metadata of the entry it stands for.
func (p *planner) atBase(e *fileindex.Entry) {
	b := p.r.base
	if e.Type != fileindex.Dir {
		p.r.count(outSkipped, 0)
		return
	}
	if e.State&fileindex.Ancestor != 0 && b.was != nil {
		p.r.countDir(outSkipped)
		return
	}
	a := attrsOf(e, p.owners)
	if b.was != nil && decide(p.r.o.Overwrite, &a, b.was) == leave && !p.r.madeEarlier(b.fd, ".") {
		p.r.countDir(outSkipped)
		return
	}
	b.a = &a
	if e.State&fileindex.Ancestor == 0 {
		b.maybeDelete()
	}
	b.limitDelete(e.State)
	if b.life == virtual {
		p.r.countDir(outNew)
	}
}

// below counts an entry below a directory that is not there to take it.
func (p *planner) below(d *dir, e *fileindex.Entry) {
	path, isDir := string(e.Path), e.Type == fileindex.Dir
	if isDir {
		p.pushDead(path, d.life)
	}
	lost := errs.New(errs.NotFound, "restore.no-directory", "its directory could not be restored")
	switch {
	case d.life == passed && isDir:
		p.r.countDir(outSkipped)
	case d.life == passed:
		p.r.count(outSkipped, e.Size)
	case isDir:
		p.r.failedDir([]byte("/"+path), lost)
	default:
		p.r.failed([]byte("/"+path), e.Size, lost)
	}
}

func (p *planner) pushDead(path string, life dirLife) {
	_, name := splitPath(path)
	d := &dir{r: p.r, parent: p.top(), name: name, path: path, fd: -1, life: life}
	d.hold()
	p.stack = append(p.stack, d)
}

// push opens or makes a directory and goes into it. counted says that it is among the
// entries planned.
func (p *planner) push(path string, a *attrs, ancestor, counted bool) {
	_, name := splitPath(path)
	d := &dir{r: p.r, parent: p.top(), name: name, path: path, fd: -1, counted: counted}
	d.hold()
	p.stack = append(p.stack, d)
	err := checkName(name)
	if err == nil {
		err = d.enter(a, ancestor)
	}
	if err != nil {
		if d.fd >= 0 {
			_ = closeFD(d.fd)
			p.r.openDirs.Add(-1)
		}
		d.life, d.fd = dead, -1
		if counted {
			p.r.failedDir(d.fullPath(), err)
		} else {
			p.r.report.fail(d.fullPath(), err)
		}
	}
}

// file plans an entry that is no directory. n is set when it is the first name of an inode.
func (p *planner) file(ctx context.Context, d *dir, name string, e *fileindex.Entry, n *inode) error {
	it := &item{attrs: attrsOf(e, p.owners), dir: d, name: name}
	if n != nil {
		p.r.c.TotalBytes.Add(it.bytes()) // the file index counts inodes with several names apart
	}
	if err := p.look(it); err != nil {
		p.r.failed(it.path(), it.bytes(), err)
		return nil
	}
	if it.act == leave {
		p.r.count(outSkipped, it.bytes())
		return nil
	}
	if p.r.o.DryRun {
		p.would(it, n)
		if it.act == metadata {
			return nil
		}
		return p.estimated(p.estimate.add(ctx, e))
	}
	if n != nil {
		n.begin(it)
	}
	d.hold()
	if e.State&fileindex.Incomplete != 0 {
		p.r.report.warn("restore.incomplete", it.path(), "not all of it could be read when it was backed up")
	}
	return p.content(ctx, it, e)
}

// look finds out what is there and what to do about it, and clears the way for what cannot
// be renamed over.
func (p *planner) look(it *item) error {
	if it.dir.life == live && !it.dir.fresh() {
		there, err := statAt(it.dir.fd, it.name)
		if err != nil {
			return wrap("look at what is there", err)
		}
		it.there = there
	}
	it.act = decide(p.r.o.Overwrite, &it.attrs, it.there)
	it.act = p.r.o.Earlier.correct(it.act, p.r.o.Overwrite, &it.attrs, it.there)
	if it.act == replace && it.there.typ == fileindex.Dir && !p.r.o.DryRun {
		if err := it.dir.clearDir(it.name, it.there); err != nil {
			return err
		}
		it.there = nil
	}
	return nil
}

// estimated passes over what cannot be read: the restore itself will say so.
func (p *planner) estimated(err error) error {
	if err == nil || !p.r.reads.fatal(err) {
		return nil
	}
	return err
}

// would reports what a dry run finds.
func (p *planner) would(it *item, n *inode) {
	if n != nil {
		n.begun, n.settled, n.dir, n.name = true, true, it.dir, it.name
	}
	switch it.act {
	case create:
		p.r.report.would("create", it.path())
		p.r.count(outNew, it.bytes())
	case replace, compare:
		p.r.report.would("replace", it.path())
		p.r.count(outChanged, it.bytes())
	default:
		p.r.count(outSkipped, it.bytes())
	}
}

// link plans one of several names of an inode.
func (p *planner) link(ctx context.Context, d *dir, name string, e *fileindex.Entry) error {
	key := inodeKey{e.Device, e.Inode}
	n := p.inodes[key]
	if n == nil {
		n = &inode{}
		p.inodes[key] = n
	}
	if !n.begun {
		full, err := p.links.Lookup(ctx, fileindex.InodeKey(key.device, key.inode))
		if err != nil {
			err = fmt.Errorf("read inode table: %w", err)
			if p.r.reads.fatal(err) {
				return err
			}
			if p.r.partial && errs.KindOf(err) == errs.NotFound {
				p.r.report.warn("restore.partial", []byte("/"+d.child(name)), "its backup was ended before the content of files with several names was written")
				p.r.count(outSkipped, 0)
				return nil
			}
			p.r.failed([]byte("/"+d.child(name)), 0, err)
			return nil
		}
		if full.Links < 2 {
			full.Links = 2
		}
		full.Path = e.Path
		n.mtime, n.typ = full.MTime, full.Type
		return p.file(ctx, d, name, full, n)
	}
	it := &item{attrs: attrs{typ: n.typ, mtime: n.mtime, links: 2}, dir: d, name: name}
	if err := p.look(it); err != nil {
		p.r.failed(it.path(), 0, err)
		return nil
	}
	if it.act == leave {
		p.r.count(outSkipped, 0)
		return nil
	}
	if p.r.o.DryRun {
		p.would(it, nil)
		return nil
	}
	d.hold()
	if !n.wait(it) {
		p.window.addPlain(job{it: it, link: n})
	}
	return nil
}

// planned counts an entry into the totals, unless these are known already.
func (r *run) planned(e *fileindex.Entry) {
	if r.totalsKnown {
		return
	}
	r.c.TotalFiles.Add(1)
	if e.Type == fileindex.File {
		r.c.TotalBytes.Add(e.Size)
	}
}
