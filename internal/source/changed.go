package source

import (
	"bytes"
	"context"
	"errors"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// Change is a path at which something may differ from the parent.
type Change struct {
	// Path is as Item.Path. A directory above it has no Change for that.
	Path []byte
	// Listing: names in this directory may have come or gone.
	Listing bool
	// Subtree: all of it may be new: the path may stand for another file than in the parent, and
	// so may whatever is below.
	Subtree bool
	// Unsure: somebody may write to the file unseen, so that its times prove nothing.
	Unsure bool
}

// Changed tells where something may differ from the parent. It must name too much rather than
// too little; what it does not name is taken over unseen:
//
//   - A name that came, went or stands for another file has a Change, and so has the directory it
//     is in: Listing.
//   - A file with several names has a Change under each of them that the parent has, also where
//     only the number of its names is another.
//   - What was mounted, or is not any more, is a Subtree.
type Changed interface {
	// Next answers the next Change in the order of the index, io.EOF behind the last. It is valid
	// until the next call.
	Next() (Change, error)
}

// follow is a Changed of which one Change is known ahead.
type follow struct {
	from Changed
	next Change
	path []byte // of next
	some bool   // next is there
	done bool
	// last is what Next answered last, should somebody doubt it; doubted: somebody does.
	last    answered
	doubted bool
}

// answered is a file whose name stands in a directory; of the root there is none.
type answered struct {
	in   *frame
	name []byte
	item Item
}

// guided is a directory of which not everything is looked at.
type guided struct {
	in   *node // the directory above; nil: it is the root
	name []byte
	// listed: what is there was listed; else it is as in the parent but for the changes.
	listed bool
	from   []byte // the first key that was not yielded, if it was not listed
	// due is the name that is looked at next, behind what was kept.
	due     []byte
	waiting bool
}

// Follow has the walk look only where something has changed. It yields, in order, all that
// changed and is there, with the directories on the way to it, and the ranges of keys between,
// which are as they are in the parent. It must be called before Next.
func (w *Walker) Follow(c Changed) { w.follow = &follow{from: c} }

// Doubt tells that the parent has something else where Next answered a file that is Clean, or a
// directory of which Partly follows: it is looked at with all below it, whatever the changes say.
// One that is Clean is answered again.
func (w *Walker) Doubt() { w.follow.doubted = true }

// peek answers the next change; nil: there is none.
func (f *follow) peek() (*Change, error) {
	if f.done || f.some {
		if f.some {
			return &f.next, nil
		}
		return nil, nil
	}
	c, err := f.from.Next()
	if errors.Is(err, io.EOF) {
		f.done = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if f.path != nil && fileindex.ComparePaths(c.Path, f.path) <= 0 {
		return nil, errs.New(errs.Internal, "", "walk by changes: %q does not follow %q", c.Path, f.path)
	}
	f.path = append(f.path[:0], c.Path...)
	if f.path == nil {
		f.path = []byte{}
	}
	f.next, f.some = c, true
	f.next.Path = f.path
	return &f.next, nil
}

// pass drops the changes before a path and answers the one that stands there, if there is one;
// below: there are some below it.
func (f *follow) pass(path []byte) (at Change, below bool, err error) {
	for {
		c, err := f.peek()
		if err != nil || c == nil {
			return at, false, err
		}
		switch order := fileindex.ComparePaths(c.Path, path); {
		case order > 0:
			return at, within(c.Path, path), nil
		case order == 0:
			at = *c
			at.Path = bytes.Clone(c.Path)
		}
		f.some = false
	}
}

// passAll drops the changes before a path, there, and below.
func (f *follow) passAll(path []byte) error {
	for {
		_, below, err := f.pass(path)
		if err != nil || !below {
			return err
		}
		f.some = false
	}
}

// within tells whether a path is dir or below it.
func within(path, dir []byte) bool {
	return len(dir) == 0 || bytes.HasPrefix(path, dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}

// nextChanged is Next of a walk that goes by changes.
func (w *Walker) nextChanged(ctx context.Context) (*Item, error) {
	item, err := w.firstOrDoubted(ctx)
	for item == nil && err == nil {
		if len(w.frames) == 0 {
			return nil, io.EOF
		}
		f := &w.frames[len(w.frames)-1]
		switch {
		case f.guided == nil:
			item, err = w.step(ctx, f)
		case f.guided.listed:
			item, err = w.stepListed(ctx, f)
		default:
			item, err = w.stepKept(ctx, f)
		}
	}
	return item, err
}

// firstOrDoubted answers the root, or what follows of a doubt; nil: nothing.
func (w *Walker) firstOrDoubted(ctx context.Context) (*Item, error) {
	if !w.started {
		w.started = true
		at, _, err := w.follow.pass(nil)
		if err != nil {
			return nil, err
		}
		if at.Subtree {
			if err := w.follow.passAll(nil); err != nil {
				return nil, err
			}
			return w.whole(ctx, w.rootNode(), nil)
		}
		return w.partly(w.rootNode(), nil, nil, at.Listing)
	}
	if !w.follow.doubted {
		return nil, nil
	}
	w.follow.doubted = false
	last := w.follow.last
	if last.item.Clean {
		w.goTo(last.in, last.name)
		return w.look(ctx, last.in, last.name, true)
	}
	// Its content is listed beside what was answered of it.
	g := w.frames[len(w.frames)-1]
	w.frames = w.frames[:len(w.frames)-1]
	g.end()
	w.path = w.path[:g.path]
	if err := w.follow.passAll(w.path); err != nil {
		return nil, err
	}
	n, above := w.rootNode(), (*Dir)(nil)
	if g.guided.in != nil {
		n, above = w.sub(g.guided.in, g.guided.name), g.guided.in.dir
	}
	_, err := w.whole(ctx, n, above)
	return nil, err
}

// end gives a frame's memory back.
func (f *frame) end() {
	if f.n.l != nil {
		f.n.l.free()
		f.n.l = nil
	}
}

// stepKept goes on in a directory whose names are the parent's.
func (w *Walker) stepKept(ctx context.Context, f *frame) (*Item, error) {
	g := f.guided
	if g.waiting {
		g.waiting = false
		w.goTo(f, g.due)
		return w.look(ctx, f, g.due, false)
	}
	dir := w.path[:f.path]
	c, err := w.follow.peek()
	if err != nil {
		return nil, err
	}
	if c == nil || !within(c.Path, dir) {
		w.frames = w.frames[:len(w.frames)-1]
		return w.kept(g.from, fileindex.Behind(fileindex.PathKey(dir))), nil
	}
	rest := c.Path[f.path:]
	if f.path > 0 {
		rest = rest[1:]
	}
	name, _ := cutComponent(rest)
	g.due, g.waiting = append(g.due[:0], name...), true
	w.goTo(f, g.due)
	key, from := fileindex.PathKey(w.path), g.from
	g.from = fileindex.Behind(key)
	return w.kept(from, key), nil
}

// kept is a range that is as in the parent; nil: it is empty.
func (w *Walker) kept(from, to []byte) *Item {
	if to != nil && bytes.Compare(from, to) >= 0 {
		return nil
	}
	w.item = Item{Kept: &fileindex.Range{From: from, To: to}}
	return &w.item
}

// stepListed goes on in a directory that was listed.
func (w *Walker) stepListed(ctx context.Context, f *frame) (*Item, error) {
	if f.batch == len(f.n.l.batches) {
		f.end()
		w.frames = w.frames[:len(w.frames)-1]
		return nil, w.follow.passAll(w.path[:f.path])
	}
	b := f.n.l.batches[f.batch]
	if f.i == b.to {
		f.n.l.batches[f.batch] = nil
		f.batch++
		return nil, nil
	}
	if f.i == b.from && f.n.l.huge != nil {
		if err := f.n.l.huge.load(b); err != nil {
			return nil, err
		}
	}
	name, typ := b.name(f.i), b.ref(f.i).typ
	f.i++
	w.goTo(f, name)
	above := false // it only leads to what is included
	if !f.n.active {
		c := f.n.branch.child(name)
		above = c != nil && !c.include
	}
	changed, err := w.follow.comes(w.path)
	if err != nil {
		return nil, err
	}
	if changed || above {
		return w.look(ctx, f, name, false)
	}
	item := Item{Path: w.path, Dir: f.n.dir, Clean: true, Stat: Stat{Type: typ}}
	if typ == fileindex.Dir || typ == 0 {
		// Whether it is the parent's directory shows in its inode.
		if err := f.n.dir.Stat(name, &item.Stat); err != nil {
			w.lost(err)
			return nil, nil
		}
	}
	return w.answer(f, name, item), nil
}

// comes tells whether there is a change at a path or below it. Those before are dropped.
func (f *follow) comes(path []byte) (bool, error) {
	for {
		c, err := f.peek()
		if err != nil || c == nil {
			return false, err
		}
		if fileindex.ComparePaths(c.Path, path) >= 0 {
			return within(c.Path, path), nil
		}
		f.some = false
	}
}

// answer yields an item that may be doubted.
func (w *Walker) answer(f *frame, name []byte, item Item) *Item {
	w.item = item
	w.follow.last = answered{in: f, name: bytes.Clone(name), item: item}
	return &w.item
}

// look looks at a name in a directory, at which the path stands; doubted: and at all below it.
// nil: there is nothing to take.
func (w *Walker) look(ctx context.Context, f *frame, name []byte, doubted bool) (*Item, error) {
	at, _, err := w.follow.pass(w.path)
	if err != nil {
		return nil, err
	}
	var st Stat
	if err := f.n.dir.Stat(name, &st); err != nil {
		if f.guided.listed || !gone(err) {
			w.lost(err)
		}
		return nil, w.follow.passAll(w.path)
	}
	if !f.guided.listed && !w.takes(f.n, name, st.Type) {
		return nil, w.follow.passAll(w.path)
	}
	if st.Type != fileindex.Dir {
		w.item = Item{Path: w.path, Stat: st, Dir: f.n.dir, Unsure: at.Unsure}
		return &w.item, w.follow.passAll(w.path)
	}
	if doubted || at.Subtree {
		if err := w.follow.passAll(w.path); err != nil {
			return nil, err
		}
		return w.whole(ctx, w.sub(f.n, name), f.n.dir)
	}
	return w.partly(w.sub(f.n, name), f.n, bytes.Clone(name), at.Listing)
}

// takes tells whether a name of a directory that was not listed is taken.
func (w *Walker) takes(n *node, name []byte, typ fileindex.Type) bool {
	if n.dir.spot.hides(name) {
		return false
	}
	if n.branch.child(name) != nil {
		return true
	}
	if n.flags&fileindex.CacheTagged != 0 && string(name) != cacheTag {
		return w.leave(n, name, typ, leftTagged)
	}
	id := w.filter.Leaves(&n.place, name, typ == fileindex.Dir)
	return id == 0 || w.leave(n, name, typ, id)
}

// partly begins a directory of which only what changed is yielded.
func (w *Walker) partly(n, in *node, name []byte, listing bool) (*Item, error) {
	fd, ok := w.open(n)
	if ok {
		defer n.dir.release()
		if listing || !n.active {
			w.list(n, fd)
		} else if w.mayBeTagged(n) && n.hasTag() {
			n.flags |= fileindex.CacheTagged
		}
	}
	var above *Dir
	if in != nil {
		above = in.dir
	}
	switch {
	case n.statErr != nil && in == nil:
		return nil, errs.New(errs.KindOf(n.statErr), "root.unreadable", "open the root directory: %w", n.statErr)
	case n.statErr != nil:
		w.lost(n.statErr)
		return nil, w.follow.passAll(w.path)
	case n.listErr != nil:
		w.report(Problem{Level: Error, Code: "dir.unreadable", Path: w.path, Err: n.listErr})
	}
	item := Item{Path: w.path, Stat: n.stat, Dir: above, State: n.flags}
	if n.stat.Type != fileindex.Dir {
		w.item = item // another kind of file has taken its place
		return &w.item, w.follow.passAll(w.path)
	}
	item.Self = n.dir
	if !ok || n.listErr != nil {
		w.item = item
		return &w.item, w.follow.passAll(w.path)
	}
	item.Partly = true
	w.frames = append(w.frames, frame{n: n, path: len(w.path), guided: &guided{
		in: in, name: name, listed: n.l != nil, from: fileindex.Below(fileindex.PathKey(w.path)).From,
	}})
	return w.answer(nil, name, item), nil
}
