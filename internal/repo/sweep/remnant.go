package sweep

import (
	"context"
	"slices"

	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// Judge is what a Rewriter that knows keys can do as well: tell what is needed of bundles.
type Judge interface {
	// Sufficient answers for which bundles the copies without some members will do if those that
	// may go do: a reader finds in them all that any point or checkpoint needs that is there
	// now. Of the others a pack is spared.
	Sufficient(ctx context.Context, all []repo.Remnant) (map[seal.ID]bool, error)
}

// remnants are the bundles of which a whole copy, or one with other members, is doomed, and only
// copies without some members stay.
func (m *marker) remnants(ctx context.Context, p *packSet, doomed []bool) (out []repo.Remnant, err error) {
	stays := func(i int32) bool { return !doomed[i] }
	err = m.uncovered(ctx, p, stays, func(id *seal.ID, all []place, x *place) {
		may := func(o place) bool { return stays(o.pack) && o.covers(x, true) }
		if !slices.ContainsFunc(all, may) || len(out) > 0 && out[len(out)-1].ID == *id {
			return
		}
		r := repo.Remnant{ID: *id}
		for i := range all {
			if o := &all[i]; o.is(segment.Punched) && !o.is(segment.Damaged) {
				r.Places = append(r.Places, repo.RemnantPlace{Location: p.locate(id, o), Stays: !doomed[o.pack]})
			}
		}
		out = append(out, r)
	})
	return out, err
}

// locate is where a bundle lies.
func (p *packSet) locate(id *seal.ID, at *place) repo.Location {
	k := p.uses[at.pack].Pack
	return repo.Location{ID: *id, Kind: seal.KindBundle, Attempt: k.Attempt, Number: k.Number, Offset: at.offset, Length: at.length, Flags: at.flags}
}

// identify reads what tells copies of a bundle that lost members apart, where there are several.
func (m *marker) identify(ctx context.Context, p *packSet, id *seal.ID, all []place) {
	punched := 0
	for i := range all {
		if all[i].is(segment.Punched) {
			punched++
		}
	}
	if punched < 2 {
		return
	}
	for i := range all {
		if all[i].is(segment.Punched) {
			// One that cannot be read is no other's copy.
			all[i].head, _ = m.r.RecordHead(ctx, p.locate(id, &all[i]))
		}
	}
}
