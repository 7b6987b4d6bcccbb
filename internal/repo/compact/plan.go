package compact

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
)

// group is what becomes new packs of one owner and class.
type group struct {
	owner [16]byte
	class pack.Class
	packs []candidate // in the order in which they came
}

// candidate is a pack that may be worth to be written anew.
type candidate struct {
	Pack
	owner [16]byte // as its header says
	loose bool     // its records were compressed fast and are to be made denser
	// hollow are the bytes of live bundles that go with their dead members.
	hollow int64
}

// candidates are the packs that are thin, small or damaged. One whose header is not good stays.
func (c *run) candidates(ctx context.Context, packs []Pack) ([]candidate, error) {
	var out []candidate
	for _, p := range packs {
		// Without live bytes there is nothing to copy: its caller condemns it as it is.
		if p.Live <= 0 || c.o.Doomed != nil && c.o.Doomed(p.Key) {
			continue
		}
		if ctx.Err() != nil {
			return nil, nil // the run ends in order
		}
		hollow := c.hollow[p.Key]
		isLoose := c.o.Recompress != nil && p.Class == pack.Data && loose(ctx, c.r, p.Key)
		if !isLoose && !p.Marked && !c.o.thin(p, hollow) && !c.o.small(p) {
			continue
		}
		h, err := header(ctx, c.r, p.Key)
		switch {
		case errs.KindOf(err) == errs.NotFound: // somebody deleted it
		case err != nil:
			c.result.Kept = append(c.result.Kept, Kept{p, err})
		default:
			out = append(out, candidate{p, h.Owner, isLoose, hollow})
		}
	}
	return out, nil
}

func (o *Options) thin(p Pack, hollow int64) bool {
	return float64(p.Live-hollow) < o.Below*float64(p.Live+p.Dead)
}
func (o *Options) small(p Pack) bool { return p.Size < o.JoinBelow }

// joinLeast packs must be there before small ones are joined: what a daily backup adds is then
// written two or three times in its life, and not every day.
const joinLeast = 4

// plan chooses the packs that are written anew, what gains most first. It looks at nothing but
// its arguments.
func plan(packs []candidate, o Options) []group {
	type key struct {
		owner [16]byte
		class pack.Class
	}
	at := map[key]int{}
	var all []group
	for _, p := range packs {
		k := key{p.owner, p.Class}
		i, ok := at[k]
		if !ok {
			i = len(all)
			at[k] = i
			all = append(all, group{owner: p.owner, class: p.Class})
		}
		all[i].packs = append(all[i].packs, p)
	}
	var out []group
	for _, g := range all {
		if g.packs = choose(g.packs, o); len(g.packs) > 0 {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(b.gain(), a.gain()), bytes.Compare(a.owner[:], b.owner[:]), cmp.Compare(a.class, b.class))
	})
	return out
}

// gain is what is freed by each byte that is written.
func (g group) gain() float64 {
	live, dead := sum(g.packs)
	return float64(dead) / float64(max(1, live))
}

func sum(packs []candidate) (live, dead int64) {
	for _, p := range packs {
		live, dead = live+p.Live-p.hollow, dead+p.Dead+p.hollow
	}
	return live, dead
}

// choose answers those of one owner's packs that are worth to be written anew.
func choose(packs []candidate, o Options) []candidate {
	if len(packs) >= joinLeast && fewer(packs, o) {
		return packs
	}
	// What is good leaves a damaged pack however little is gained: as long as the pack is there,
	// each check warns of it.
	var worse []candidate
	must := false
	for _, p := range packs {
		if p.loose || p.Marked || o.thin(p.Pack, p.hollow) {
			worse = append(worse, p)
			must = must || p.loose || p.Marked
		}
	}
	// A single pack that is a little smaller afterwards is not worth the work, nor is one more
	// small pack.
	if _, dead := sum(worse); dead < o.PackSize/worth && !o.Thorough && !must && !fewer(worse, o) {
		return nil
	}
	return worse
}

// worth: what frees less than this part of a pack, 1 MiB of 64, can wait until more is dead.
const worth = 64

// fewer tells whether at most half as many packs come out.
func fewer(packs []candidate, o Options) bool {
	live, _ := sum(packs)
	return 2*((live+o.PackSize-1)/o.PackSize) <= int64(len(packs))
}
