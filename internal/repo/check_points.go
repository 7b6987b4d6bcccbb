package repo

import (
	"context"
	"iter"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
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
	amiss := false
	for _, id := range append([]seal.ID{p.RootID}, p.Refs...) {
		ok, err := c.intact(ctx, id)
		if err != nil {
			return err
		}
		amiss = amiss || !ok
	}
	if !amiss {
		return nil
	}
	named, err := c.files(ctx, p)
	if err != nil || named {
		return err
	}
	return c.whole(ctx, p)
}

// intact tells whether a chunk and all below it can be read. Each is read once per check, and
// data chunks, which refer to nothing, not at all.
func (c *checker) intact(ctx context.Context, id seal.ID) (bool, error) {
	if ok, known := c.clean[id]; known {
		return ok, nil
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l, there := c.r.Lookup(ctx, id)
	if !there || c.lost(ctx, id) {
		c.gone(id, l, there)
		c.clean[id] = false
		return false, nil
	}
	if !l.Kind.Meta() {
		return true, nil // looking it up again costs less than to remember it
	}
	var rec seal.Record
	err := c.readGood(ctx, id, func(r *seal.Record) error { rec = *r; return nil })
	if err != nil {
		if k := errs.KindOf(err); k != errs.Corrupt && k != errs.NotFound {
			return false, err
		}
		c.chunk(id, l.PackName(), "chunk.damaged", err.Error())
		c.clean[id] = false
		return false, nil
	}
	c.read.Add(int64(rec.Len()))
	ok := true
	for i := range rec.NumRefs() {
		below, err := c.intact(ctx, rec.Ref(i))
		if err != nil {
			return false, err
		}
		ok = ok && below
	}
	c.clean[id] = ok
	return ok, nil
}

// gone makes sure that there is a finding for a chunk that can be read nowhere.
func (c *checker) gone(id seal.ID, l Location, there bool) {
	name := ""
	if there {
		name = l.PackName()
	}
	c.chunk(id, name, "chunk.missing", "the repository does not hold it, or only where it is marked as damaged")
}

// whole names a point under every lost chunk below it, where there are no keys to say which
// files need it.
func (c *checker) whole(ctx context.Context, p point.Point) error {
	seen := map[seal.ID]bool{}
	var visit func(id seal.ID) error
	visit = func(id seal.ID) error {
		ok, known := c.clean[id]
		if seen[id] || ok || !known {
			return nil
		}
		seen[id] = true
		if i, found := c.chunks[id]; found && c.report.Findings[i].Repaired == "" {
			c.affect(i, 1, AffectedFile{Point: p.Attempt})
			return nil
		}
		var rec seal.Record
		if err := c.readGood(ctx, id, func(r *seal.Record) error { rec = *r; return nil }); err != nil {
			return err
		}
		for i := range rec.NumRefs() {
			if err := visit(rec.Ref(i)); err != nil {
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
