package compact

import (
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// item is a record that is to be copied.
type item struct {
	entry pack.Entry
	at    repo.Location
	need  need
}

// need is what a place is good for; another place must be as good before this one may go.
type need struct {
	// proved: every computer may rely on it. Else only its owners.
	proved bool
	// punched: members are missing from it.
	punched bool
	owners  [][16]byte
}

// needed lists the records of a pack that must be copied, and the number of the new pack from
// which on nothing else of it is needed. A record that is marked as damaged and lies nowhere
// else is an error: it stays where it is, since a disk may read again what it once did not.
func (c *run) needed(ctx context.Context, in *input) (items []item, after uint32, err error) {
	for _, e := range in.entries {
		if !c.o.Live(e.ID) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		it := item{entry: e, at: repo.Location{
			ID: e.ID, Kind: e.Kind, Attempt: in.key.Attempt, Number: in.key.Number, Offset: e.Offset, Length: e.Length, Owner: in.owner,
		}}
		places := c.places(ctx, e.ID)
		n, damaged := needOf(places, it.at)
		it.need = n
		number, ok, err := c.elsewhere(ctx, places, &it)
		switch {
		case err != nil:
			return nil, 0, err
		case ok:
			after = max(after, number)
		case damaged:
			return nil, 0, errs.New(errs.Corrupt, "chunk.damaged", "chunk %s is marked as damaged and needed", e.ID)
		default:
			items = append(items, it)
		}
	}
	return items, after, nil
}

// places are all places of a chunk. In a pack that a check has proved whole strangers rely on
// all that is in it: if the copy were not as good, the sweep would have to spare the pack.
func (c *run) places(ctx context.Context, id seal.ID) []repo.Location {
	all := c.r.Places(ctx, id)
	for i := range all {
		if _, whole := slices.BinarySearchFunc(c.whole, all[i].PackKey(), pack.Key.Compare); whole {
			all[i].Flags |= segment.Proved
		}
	}
	return all
}

// needOf says what the index makes of a place. Its computer may rely on it in any case.
func needOf(places []repo.Location, at repo.Location) (n need, damaged bool) {
	n.owners = [][16]byte{at.Owner}
	for _, l := range places {
		if !l.SamePlace(at) {
			continue
		}
		n.proved = n.proved || l.Proved()
		n.punched = n.punched || l.Flags&segment.Punched != 0
		damaged = damaged || l.Flags&segment.Damaged != 0
		if l.Owner != [16]byte{} && !slices.Contains(n.owners, l.Owner) {
			n.owners = append(n.owners, l.Owner)
		}
	}
	if n.proved { // then everybody may, and one row says so
		n.owners = n.owners[:1]
	}
	return n, damaged
}

// elsewhere tells whether a record need not be copied, since it lies as well elsewhere: in a
// new pack of this run, whose number it answers, or in an old one that stays. What is only in
// the index does not count, the record is read.
func (c *run) elsewhere(ctx context.Context, places []repo.Location, it *item) (after uint32, ok bool, err error) {
	for _, owner := range it.need.owners {
		if n, found := c.out.has(it.entry.ID, it.need, owner); found {
			after = max(after, n)
			continue
		}
		found, err := c.liesIn(ctx, places, it, owner)
		if !found || err != nil {
			return 0, false, err
		}
	}
	return after, true, nil
}

// liesIn looks for one good place that owner may rely on as he may on this one.
func (c *run) liesIn(ctx context.Context, places []repo.Location, it *item, owner [16]byte) (bool, error) {
	for _, l := range places {
		if !c.replaces(places, &l, it, owner) {
			continue
		}
		if c.stop = c.wait(ctx, int(l.Length)); c.stop != nil {
			return false, c.stop
		}
		rec, err := c.r.ReadRecord(ctx, l, c.buf)
		switch errs.KindOf(err) {
		case "":
			c.buf = rec.Bytes()
			return !rec.Punched, nil
		case errs.Corrupt:
			c.damage(l, err)
		case errs.Cancelled:
			return false, err
		}
	}
	return false, nil
}

func (c *run) replaces(places []repo.Location, l *repo.Location, it *item, owner [16]byte) bool {
	k := l.PackKey()
	switch {
	case l.SamePlace(it.at), l.Kind != it.entry.Kind, c.o.Doomed != nil && c.o.Doomed(k):
		return false
	case c.chosen[k] && (it.need.proved || !l.Proved()):
		// It may go as well. A better one is copied from there, or its pack stays: to copy both
		// would make the new pack as thin as the old one, for ever.
		return false
	case l.Punched():
		return false // it may hold less than this one
	case !l.Proved() && (it.need.proved || l.Owner != owner):
		return false
	}
	return !slices.ContainsFunc(places, func(o repo.Location) bool { return o.SamePlace(*l) && o.Flags&segment.Damaged != 0 })
}
