package repo

import (
	"context"
	"iter"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// points checks every restore point: that it is whole, and that everything it refers to can
// be read.
func (c *checker) points(ctx context.Context) error {
	fresh := false
	return c.objects(ctx, c.r.Points(ctx), "point", func(p point.Point) error {
		if !fresh { // the points are listed: their segments were published before them
			if err := c.r.Refresh(ctx); err != nil {
				return err
			}
			fresh = true
		}
		c.report.Points++
		if c.opts.ReadData && c.opts.keyed() && !c.amiss {
			return nil // its trees were walked
		}
		return c.follow(ctx, p)
	})
}

func (c *checker) checkpoints(ctx context.Context) error {
	return c.objects(ctx, c.r.Checkpoints(ctx), "checkpoint", func(point.Point) error { return nil })
}

func (c *checker) objects(ctx context.Context, all iter.Seq2[Object, error], object string, good func(point.Point) error) error {
	for o, err := range all {
		if cerr := ctx.Err(); cerr != nil {
			return cerr
		}
		p, err := c.parse(o, err, object)
		switch {
		case o.Name != "" && !ours(o.Name):
			err = nil // named with the strangers
		case err == nil && p.Type == point.Tombstone:
		case err == nil:
			err = good(p)
		case errs.KindOf(err) == errs.Corrupt:
			c.damagedObject(object, o, err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parse reads a point or a checkpoint, which has to be where it belongs.
func (c *checker) parse(o Object, err error, object string) (p point.Point, _ error) {
	if err == nil {
		p, err = point.Parse(o.Content)
	}
	if err == nil && (p.Attempt != o.Attempt || p.RepositoryID != c.r.cfg.ID) {
		err = errs.New(errs.Corrupt, "point.place", "read %s: it is another attempt's, or another repository's", object)
	}
	return p, err
}

func (c *checker) damagedObject(object string, o Object, err error) {
	f := Finding{Object: object, Name: o.Name, Code: object + ".damaged", Text: err.Error()}
	if object == "checkpoint" {
		f.Repaired = "nothing is lost: the attempt starts again from its parent, and no point needs it"
	} else {
		f.Text += "; the point cannot be restored, the others do not need it"
		f.Affected, f.AffectedTotal = []AffectedFile{{Point: o.Attempt}}, 1
	}
	c.find(f)
}

// follow finds what a point needs and cannot have, first by the lists of ids that stand in
// clear; only if something is amiss, with keys, by its file index.
func (c *checker) follow(ctx context.Context, p point.Point) error {
	f := &follower{c: c, owner: c.r.ownerOf(p.Attempt)}
	amiss := false
	for _, id := range append([]seal.ID{p.RootID}, p.Refs...) {
		ok, err := f.intact(ctx, id)
		if err != nil {
			return err
		}
		amiss = amiss || !ok
	}
	if !amiss {
		return nil
	}
	if there, err := storage.Exists(ctx, c.r.b, pointName(p.Attempt)); err != nil || !there {
		return err // purged meanwhile: what it needed may have gone
	}
	named, err := c.files(ctx, p)
	if err != nil || named {
		return err
	}
	return f.whole(ctx, p)
}

// follower follows the clear ids of the points of one computer.
type follower struct {
	c     *checker
	owner [16]byte
}

// ownerOf is the computer whose attempt it was, by its pseudonym; zero: the index does not tell.
func (r *Repository) ownerOf(a point.Attempt) [16]byte {
	for _, s := range r.snapshot() {
		for i := range s.seg.Packs {
			if p := &s.seg.Packs[i]; p.Attempt == a && p.Owner != ([16]byte{}) {
				return p.Owner
			}
		}
	}
	return [16]byte{}
}

// intact tells whether a chunk and all below it can be read. Metadata is read once per check,
// and data chunks, which refer to nothing, not at all.
func (f *follower) intact(ctx context.Context, id seal.ID) (bool, error) {
	c := f.c
	if c.lostIDs[id] {
		return false, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l, there := c.r.lookupFor(ctx, f.owner, id)
	if !there || c.lost(ctx, id) {
		c.gone(id, l, there)
		c.lostIDs[id] = true
		return false, nil
	}
	if !l.Kind.Meta() {
		return true, nil // looking it up again costs less than to remember it
	}
	if !c.enter(ctx, f.owner, id) {
		return true, nil // it was followed, or it is being followed: ids may be forged into a circle
	}
	var refs []seal.ID
	err := c.readGood(ctx, f.owner, id, func(r *seal.Record) error {
		c.read.Add(int64(r.Len()))
		for i := range r.NumRefs() {
			refs = append(refs, r.Ref(i))
		}
		return nil
	})
	if err != nil {
		if ctx.Err() != nil {
			return false, err
		}
		c.chunk(id, l.PackName(), readCode(err), err.Error())
		c.lostIDs[id] = true
		return false, nil
	}
	ok := true
	for _, ref := range refs {
		below, err := f.intact(ctx, ref)
		if err != nil {
			return false, err
		}
		ok = ok && below
	}
	if !ok {
		c.lostIDs[id] = true
	}
	return ok, nil
}

// gone makes sure that there is a finding for a chunk that can be read nowhere.
func (c *checker) gone(id seal.ID, l Location, there bool) {
	name := ""
	if there {
		name = l.PackName()
		c.gonePack(l)
	}
	c.chunk(id, name, "chunk.missing", "the repository does not hold it, or only where it is marked as damaged")
}

// whole names a point under every lost chunk below it, where there are no keys to say which
// files need it.
func (f *follower) whole(ctx context.Context, p point.Point) error {
	c := f.c
	seen := map[seal.ID]bool{}
	var visit func(id seal.ID) error
	visit = func(id seal.ID) error {
		if seen[id] || !c.lostIDs[id] {
			return nil
		}
		seen[id] = true
		if i, found := c.chunks[id]; found && (i < 0 || c.report.Findings[i].Repaired == "") {
			c.affect(i, 1, AffectedFile{Point: p.Attempt})
			return nil
		}
		var refs []seal.ID
		err := c.readGood(ctx, f.owner, id, func(r *seal.Record) error {
			for i := range r.NumRefs() {
				refs = append(refs, r.Ref(i))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, ref := range refs {
			if err := visit(ref); err != nil {
				return err
			}
		}
		return nil
	}
	for _, id := range append([]seal.ID{p.RootID}, p.Refs...) {
		if err := visit(id); err != nil {
			return err
		}
	}
	return nil
}
