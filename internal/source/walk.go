package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo/fileindex"
)

// Walker yields the files of a selection in the order of the file index: every directory
// before its content, names in the order of their bytes. Listing and statting run ahead in
// parallel.
type Walker struct {
	sel    Selection
	filter *Filter
	top    branch
	report func(Problem)
	dirs   *dirCache
	ahead  *ahead

	most       int         // names of a directory that are kept in memory
	scratch    string      // where what is more goes
	left       []leftCount // by RuleID
	measure    *measure    // nil: nobody wants to know how much is left out
	direntBufs sync.Pool
	workers    sync.WaitGroup

	follow  *follow // nil: the walk looks at everything
	started bool
	frames  []frame
	path    []byte
	item    Item
}

// frame is a directory whose files are being yielded.
type frame struct {
	n     *node
	batch int
	i     int // next file of the listing
	sub   int // next directory of the batch
	path  int // length of the directory's path
	// guided is what a walk that goes by changes has beside; nil: all of the directory is yielded.
	guided *guided
}

// NewWalker prepares a walk. report is told what could not be done, from the goroutine that
// calls NewWalker or Next. Close the Walker.
func NewWalker(sel Selection, report func(Problem)) (*Walker, error) {
	filter, err := sel.Filter()
	if err != nil {
		return nil, err
	}
	w := &Walker{sel: sel, filter: filter, left: make([]leftCount, len(filter.rules)), report: report, dirs: newDirCache(), ahead: newAhead(), most: hugeNames}
	w.dirs.view = sel.View.spots()
	// 32 KiB holds a thousand names: most directories take one call.
	w.direntBufs.New = func() any { b := make([]byte, 32<<10); return &b }
	if err := w.plan(); err != nil {
		w.dirs.closeAll()
		return nil, err
	}
	for range workersOf(&sel) {
		w.workers.Go(func() { w.ahead.serve(w.do) })
	}
	return w, nil
}

// workersOf is how many goroutines run ahead of the reader, who needs none.
func workersOf(sel *Selection) int {
	if sel.Alone {
		return 0
	}
	return max(2, runtime.GOMAXPROCS(0))
}

// Filter is what the walk asks.
func (w *Walker) Filter() *Filter { return w.filter }

// SpillTo names the directory for what is too much for memory; without it it is the
// system's for temporary files. It must be called before Next.
func (w *Walker) SpillTo(dir string) { w.scratch = dir }

// Dir is the directory that a path names, as Item.Path has it. Nothing is opened yet.
func (w *Walker) Dir(path []byte) *Dir {
	d := w.dirs.root()
	for len(path) > 0 {
		var name []byte
		name, path = cutComponent(path)
		d = d.child(name)
	}
	return d
}

// Close ends the walk and waits for what it started. Dirs that were handed out still work
// while they are in use, but are not opened again.
func (w *Walker) Close() {
	w.ahead.stop()
	w.workers.Wait()
	w.dirs.closeAll()
}

// plan makes the tree of the include paths that exist.
func (w *Walker) plan() error {
	found := 0
	for _, inc := range w.sel.Include {
		path := filepath.Clean(inc)
		if !filepath.IsAbs(path) {
			if !job.Absolute(inc) {
				return errs.New(errs.Invalid, "include.relative", "include %q: the path is not absolute", inc)
			}
			w.report(Problem{
				Level: Info, Code: "include.platform", Path: []byte(inc),
				Err: errs.New(errs.Invalid, "include.platform", "it is left out: it is no path of this computer's system (%s)", runtime.GOOS),
			})
			continue
		}
		real, err := path, error(nil)
		if !w.sel.Within {
			real, err = resolveParents(path)
		}
		if err == nil {
			err = w.exists(toPath(real))
		}
		if err != nil {
			p := Problem{Level: Warning, Code: "include.missing", Path: toPath(path), Err: err}
			if !gone(err) {
				p.Level, p.Code = Error, "file.unreadable"
			}
			w.report(p)
			continue
		}
		if real != path {
			w.report(Problem{
				Level: Info, Code: "include.resolved", Path: toPath(path),
				Err: errs.New(errs.Invalid, "include.resolved", "a directory above it is a symlink: %s is taken", real),
			})
		}
		w.top.add(toPath(real))
		found++
	}
	if found == 0 && (len(w.sel.Include) > 0 || !w.sel.Within && !w.sel.Nothing) {
		return errs.New(errs.NotFound, "include.none", "none of the include paths exists on this computer: %s", someOf(w.sel.Include)).
			WithHint("see the job's include paths; they can be others for one of its computers: keepward job edit NAME --for COMPUTER --include PATH")
	}
	return nil
}

// someOf names the first of paths, and how many more there are.
func someOf(paths []string) string {
	const most = 5
	if len(paths) <= most {
		return strings.Join(paths, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(paths[:most], ", "), len(paths)-most)
}

func (w *Walker) exists(path []byte) error {
	d := w.dirs.root()
	for len(path) > 0 {
		var name []byte
		name, path = cutComponent(path)
		if len(path) == 0 {
			var st Stat
			return d.Stat(name, &st)
		}
		d = d.child(name)
	}
	return nil
}

// resolveParents follows symlinks in the directories above path, not path itself.
func resolveParents(path string) (string, error) {
	parent := filepath.Dir(path)
	if parent == path {
		return path, nil
	}
	real, err := filepath.EvalSymlinks(parent)
	if tooLong(err) {
		return path, nil // taken as it stands; the walk follows nothing
	}
	if err != nil {
		return "", err
	}
	return filepath.Join(real, filepath.Base(path)), nil
}

// do does a task and hands in what it leads to.
func (w *Walker) do(t task, place *run) {
	var next *run
	files := 0
	if t.batch == nil {
		files = w.load(t.node)
		if l := t.node.l; l != nil {
			switch {
			case len(l.batches) == 1 && len(l.batches[0].subs) > 0:
				next = &run{subs: l.batches[0].subs}
			case len(l.batches) > 1:
				next = &run{node: t.node, batches: l.batches}
			}
		}
	} else {
		w.loadBatch(t.node, t.batch)
		files = t.batch.to - t.batch.from
		if len(t.batch.subs) > 0 {
			next = &run{subs: t.batch.subs}
		}
	}
	w.ahead.finish(t, place, next, files)
}

// Next answers the next file, io.EOF behind the last.
func (w *Walker) Next(ctx context.Context) (*Item, error) {
	if w.follow != nil {
		return w.nextChanged(ctx)
	}
	if !w.started {
		w.started = true
		return w.whole(ctx, w.rootNode(), nil)
	}
	for len(w.frames) > 0 {
		item, err := w.step(ctx, &w.frames[len(w.frames)-1])
		if err != nil || item != nil {
			return item, err
		}
	}
	return nil, io.EOF
}

func (w *Walker) rootNode() *node {
	return &node{dir: w.dirs.root(), branch: &w.top, active: w.top.include}
}

// whole begins a directory of which everything is yielded; nil: it is none any more.
func (w *Walker) whole(ctx context.Context, n *node, parent *Dir) (*Item, error) {
	w.ahead.mu.Lock()
	w.ahead.insert(&run{subs: []*node{n}}, &w.ahead.first)
	w.ahead.mu.Unlock()
	if err := w.ahead.await(ctx, task{node: n}, w.do); err != nil {
		return nil, err
	}
	if n.statErr == nil {
		return w.yieldDir(n, parent), nil
	}
	if parent == nil {
		return nil, errs.New(errs.KindOf(n.statErr), "root.unreadable", "open the root directory: %w", n.statErr)
	}
	w.ahead.passed(1)
	w.lost(n.statErr)
	return nil, nil
}

// step goes on in a directory; nil: look at the topmost again.
func (w *Walker) step(ctx context.Context, f *frame) (*Item, error) {
	if f.batch == len(f.n.l.batches) {
		f.n.l.free()
		f.n.l = nil
		w.frames = w.frames[:len(w.frames)-1]
		return nil, nil
	}
	b := f.n.l.batches[f.batch]
	if f.i == b.from {
		if err := w.ahead.await(ctx, task{node: f.n, batch: b}, w.do); err != nil {
			return nil, err
		}
	}
	if f.i == b.to {
		f.n.l.batches[f.batch] = nil // its memory is free from here on
		f.batch, f.sub = f.batch+1, 0
		w.ahead.passed(b.to - b.from)
		return nil, nil
	}
	return w.one(ctx, f, b)
}

// one yields the next file of a batch, nil if it is none any more.
func (w *Walker) one(ctx context.Context, f *frame, b *statBatch) (*Item, error) {
	i := f.i
	f.i++
	w.goTo(f, b.name(i))
	if b.errs != nil && b.errs[i-b.from] != nil {
		w.lost(b.errs[i-b.from])
		return nil, nil
	}
	st := &b.stats[i-b.from]
	if st.Type != fileindex.Dir {
		w.item = Item{Path: w.path, Stat: *st, Dir: f.n.dir}
		return &w.item, nil
	}
	s := b.subs[f.sub]
	if err := w.ahead.await(ctx, task{node: s}, w.do); err != nil {
		return nil, err
	}
	b.subs[f.sub] = nil // what it holds is the next frame's alone
	f.sub++
	if s.statErr != nil {
		w.ahead.passed(1)
		w.lost(s.statErr)
		return nil, nil
	}
	return w.yieldDir(s, f.n.dir), nil
}

// goTo sets the path to that of a name in a directory.
func (w *Walker) goTo(f *frame, name []byte) {
	w.path = w.path[:f.path]
	if f.path > 0 {
		w.path = append(w.path, '/')
	}
	w.path = append(w.path, name...)
}

// lost reports a file that was listed and cannot be looked at.
func (w *Walker) lost(err error) {
	if gone(err) {
		w.report(Problem{Level: Warning, Code: "file.vanished", Path: w.path, Err: err})
		return
	}
	w.report(Problem{Level: Error, Code: "file.unreadable", Path: w.path, Err: err})
}

func (w *Walker) yieldDir(n *node, parent *Dir) *Item {
	w.ahead.passed(1)
	w.item = Item{Path: w.path, Stat: n.stat, Dir: parent, State: n.flags}
	if n.stat.Type != fileindex.Dir {
		return &w.item // another kind of file has taken its place since it was listed
	}
	w.item.Self = n.dir
	if n.listErr != nil {
		w.report(Problem{Level: Error, Code: "dir.unreadable", Path: w.path, Err: n.listErr})
	}
	if n.l != nil {
		w.frames = append(w.frames, frame{n: n, path: len(w.path)})
	}
	return &w.item
}

func tooLong(err error) bool { return errors.Is(err, errNameTooLong) }
