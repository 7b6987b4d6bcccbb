package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// A narrowed backup looks only at what may have changed since its parent, and takes over the rest
// of the parent's trees unseen: ranges of keys, of which only the nodes at their ends are read.
// What it makes is what comparing everything would make, but for three things: names of owners
// that were given to others since, the racy mark of files that were young, and which files are
// bundled anew. The next backup that looks at everything sees to these.
//
// That the nodes which are taken over are there is asked, as it is of nodes that come out as they
// were: without one of them, or if it lies where a sweep may delete it, everything is looked at and
// the node is stored again. What is below them is not asked for, and the mover does not look it up
// at the commit, for it looks up what new nodes refer to. docs/formats/repository-layout.md ("Deletion: Why nothing is lost") has why that is
// enough, as it is for the extents of files that did not change: the parent is read behind this
// attempt's open marker. A sweep that was to delete something of the parent has begun before, and
// then judges with the parent in sight, as no point is purged while its list is open; or later,
// and then waits for this attempt and marks from its point. Should a node be damaged nevertheless,
// the commit follows all that the point needs if anything is marked, and refuses.

// narrow is what a narrowed backup goes by.
type narrow struct {
	changed source.Changed
	before  *Before
	root    fileindex.Root // the parent's
	taken   takenOver
}

// errParent is the failure to read what is compared with, in a backup that takes parts of it over.
type errParent struct{ error }

func (e errParent) Unwrap() error { return e.error }

// parentLost tells that what is compared with is damaged from other failures to read it.
func parentLost(err error) error {
	if kind := errs.KindOf(err); kind == errs.Corrupt || kind == errs.NotFound {
		return errParent{err}
	}
	return err
}

// donorLost is parentLost of what only may be a failure to read.
func donorLost(err error) error {
	if _, is := errors.AsType[fileindex.DonorError](err); is {
		return parentLost(err)
	}
	return err
}

// narrowDown asks what has changed since a parent, if that can be gone by; nil: look at everything.
func (r *run) narrowDown(ctx context.Context, e *earlier) (*narrow, error) {
	if r.opts.Changed == nil || r.opts.Check != nil || !whole(e) || !bytes.Equal(e.body.Options, r.options) {
		return nil, nil
	}
	before := &Before{Token: e.body.Tracker, Links: !e.root.Inodes.Empty(), ctx: ctx, fetch: r.fetch, root: &e.root}
	changed, err := r.opts.Changed(ctx, before)
	if err != nil || changed == nil {
		before.close()
		return nil, err
	}
	return &narrow{changed: changed, before: before, root: e.root, taken: takenOver{store: r.store}}, nil
}

// whole tells whether a parent has all that was asked for: what it lacks nobody would look at
// again. One of an earlier version does not tell how many directories it has.
func whole(e *earlier) bool {
	return e.body.Completeness == point.Whole && e.body.Errors == 0 && e.root.Dirs > 0
}

// asBefore tells whether a file that did not change is what the base has there. A directory must be
// the same one, and left out as much: what is below it is taken over.
func asBefore(it *source.Item, old *fileindex.Entry) bool {
	switch {
	case old == nil:
		return false
	case it.Stat.Type != fileindex.Dir && old.Type == fileindex.Dir || it.Stat.Type == fileindex.Dir && old.Type != fileindex.Dir:
		return false
	case it.Stat.Type != fileindex.Dir:
		return it.Stat.Inode == 0 || it.Stat.Inode == old.Inode && it.Stat.Device == old.Device
	case it.Partly && it.State != old.State&^fileindex.Racy:
		return false
	}
	born := old.BTime == it.Stat.BTime || old.BTime == (fileindex.Time{}) || it.Stat.BTime == (fileindex.Time{})
	return born && it.Stat.Inode == old.Inode && it.Stat.Device == old.Device
}

// takenOver asks the store for nodes that are taken over.
type takenOver struct {
	store Store
	hs    []seal.H
}

// add is told of a node.
func (t *takenOver) add(ctx context.Context, h seal.H) error {
	if t.hs = append(t.hs, h); len(t.hs) < maxAsked {
		return nil
	}
	return t.ask(ctx)
}

// maxAsked is how many chunks one question may be about.
const maxAsked = 4096

// ask asks for what was added. What is not there can only be stored by who looks at everything.
func (t *takenOver) ask(ctx context.Context) error {
	if len(t.hs) == 0 {
		return nil
	}
	have, err := t.store.Have(ctx, t.hs)
	if err != nil {
		return err
	}
	for i := range have {
		if !have[i] {
			return errParent{errs.New(errs.NotFound, "chunk.missing", "take over from the parent: node %s is not there, or will not be", t.hs[i].ID())}
		}
	}
	t.hs = t.hs[:0]
	return nil
}

// donor makes what a tree of the parent is taken over from.
func (r *run) donor(kind seal.Kind, t fileindex.Tree) *fileindex.Donor {
	d := fileindex.NewDonor(r.fetch, kind, t)
	d.Taken = r.narrow.taken.add
	return d
}

// match answers the base's entry under key.
func (s *sequencer) match(ctx context.Context, key []byte) (*fileindex.Entry, error) {
	if e := s.doubted; e != nil && bytes.Equal(s.doubtedKey, key) {
		s.doubted = nil
		return e, nil
	}
	if err := s.leaveDoubted(); err != nil {
		return nil, err
	}
	return s.base.match(ctx, key)
}

// meetAgain keeps the base's entry of a file that is doubted and will be met again.
func (s *sequencer) meetAgain(old *fileindex.Entry) {
	if old != nil {
		s.doubted, s.doubtedKey = old.Clone(), append(s.doubtedKey[:0], s.key...)
	}
}

// leaveDoubted counts a file as gone that was to be met again and was not.
func (s *sequencer) leaveDoubted() error {
	e := s.doubted
	s.doubted = nil
	if e == nil {
		return nil
	}
	return s.base.leave(e)
}

// keep has a range of the base taken over.
func (s *sequencer) keep(ctx context.Context, r fileindex.Range) error {
	if err := s.leaveDoubted(); err != nil {
		return err
	}
	if err := s.base.keep(ctx, r); err != nil {
		return err
	}
	return s.extend(ctx, r)
}

// keepMatched has the entry taken over that was just matched, with all below it.
func (s *sequencer) keepMatched(ctx context.Context, key []byte, typ fileindex.Type) error {
	s.base.unpass(typ)
	if typ == fileindex.Dir {
		if err := s.base.keep(ctx, fileindex.Below(key)); err != nil {
			return err
		}
	}
	return s.extend(ctx, fileindex.Range{From: bytes.Clone(key), To: fileindex.Behind(key)})
}

// keepAlone has the entry of a directory taken over that was just matched, without what is below.
func (s *sequencer) keepAlone(ctx context.Context, key []byte) error {
	s.base.unpass(fileindex.Dir)
	return s.extend(ctx, fileindex.Range{From: bytes.Clone(key), To: fileindex.Below(key).From})
}

// extend adds a range to the one that is kept, if the base has nothing between the two.
func (s *sequencer) extend(ctx context.Context, r fileindex.Range) error {
	if s.kept != nil && s.passedAt == s.base.passed {
		s.kept.To = r.To
		return nil
	}
	if s.kept != nil {
		if err := s.closeKept(ctx); err != nil {
			return err
		}
	}
	s.kept, s.passedAt = &r, s.base.passed
	return nil
}

// closeKept puts what is kept into the group.
func (s *sequencer) closeKept(ctx context.Context) error {
	s.openGroup()
	g := s.group
	g.kept = append(g.kept, kept{at: len(g.entries), within: *s.kept})
	s.kept = nil
	if g.full() {
		return s.closeGroup(ctx)
	}
	return nil
}

// nameless takes an inode of which the base has names that are none any more, and no other was
// met. It stays if there are some in what was not looked at: names has how many the base has, if
// that is not as many as the file had links.
func (s *sequencer) nameless(ctx context.Context, i *inode, key []byte, old *fileindex.Entry, names map[[16]byte]uint64) error {
	if old == nil {
		return nil
	}
	had := old.Links
	if n, counted := names[[16]byte(key)]; counted {
		had = n
	}
	if i.lost >= had {
		return nil
	}
	s.base.unpass(old.Type)
	return s.extend(ctx, fileindex.Range{From: key, To: append(bytes.Clone(key), 0)})
}

// countNames counts the names that the parent has of the inodes which lost some, but fewer than they
// had links: others may be outside of what is backed up. That is rare, since a name that is left
// has a change, too; then the whole of the parent's path tree is read.
func (r *run) countNames(ctx context.Context, links *linkTable) (map[[16]byte]uint64, error) {
	names := map[[16]byte]uint64{}
	inodes := fileindex.NewCursor(r.fetch, seal.KindInode, r.narrow.root.Inodes)
	defer inodes.Close()
	err := links.each(func(i *inode) error {
		if len(i.paths) > 0 {
			return nil
		}
		key := fileindex.InodeKey(i.device, i.number)
		e, err := inodes.Lookup(ctx, key)
		if errs.CodeOf(err) == "path.not-found" {
			return nil
		}
		if err == nil && e.Links > i.lost {
			names[[16]byte(key)] = 0
		}
		return parentLost(err)
	})
	if err != nil || len(names) == 0 {
		return nil, err
	}
	paths := fileindex.NewCursor(r.fetch, seal.KindNode, r.narrow.root.Paths)
	defer paths.Close()
	for {
		e, err := paths.Next(ctx)
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, parentLost(err)
		}
		if e.Type != fileindex.Link {
			continue
		}
		key := [16]byte(fileindex.InodeKey(e.Device, e.Inode))
		if n, wanted := names[key]; wanted {
			names[key] = n + 1
		}
	}
}
