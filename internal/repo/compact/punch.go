package compact

import (
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// puncher takes dead members out of bundles while they are copied. It belongs to one run.
type puncher struct {
	r      *repo.Repository
	known  *hashes
	sealer *seal.Sealer
	there  map[pack.Key]bool
	plain  []byte
	less   []byte
	sealed []byte
}

// survey walks the trees of all points once, and answers which packs are worth it by what that
// shows: those whose records get denser, and those whose bundles have mostly dead members.
func (c *run) survey(ctx context.Context, packs []Pack, all []candidate) ([]candidate, error) {
	var err error
	if c.known, err = newHashes(c.r, c.o.Recompress); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(all, func(p candidate) bool { return p.loose }) {
		c.known.want(ctx, all, c.o.Live)
	}
	data := c.bundled(ctx, packs)
	if len(c.known.wanted)+len(c.known.bundles) == 0 {
		return all, nil
	}
	if err := c.known.find(ctx); err != nil {
		return nil, err
	}
	// Without knowing all that is needed nobody can tell what is dead.
	if c.known.gap == nil && len(data) > 0 {
		if c.punch, err = c.newPuncher(); err != nil {
			return nil, err
		}
		c.hollow = map[pack.Key]int64{}
		for _, p := range data {
			if c.hollow[p.Key], err = c.hollowness(ctx, p); err != nil {
				return nil, err
			}
		}
		c.result.Kept = nil // what was noted when they were looked at first
		if all, err = c.candidates(ctx, packs); err != nil {
			return nil, err
		}
	}
	return c.loosened(ctx, all)
}

// want has the walk find the h of all that is needed in packs.
func (w *hashes) want(ctx context.Context, packs []candidate, live func(seal.ID) bool) {
	for _, p := range packs {
		if len(w.wanted) >= maxWanted {
			break
		}
		in, err := openInput(ctx, w.r, p)
		if err != nil {
			continue // it is seen again when it is to be copied
		}
		for _, e := range in.entries {
			if live(e.ID) {
				w.wanted[e.ID] = seal.H{}
			}
		}
		in.close()
	}
}

// bundled has the walk look at the bundles of packs, and answers these packs. Where there are
// more than can be looked at, every run begins with others.
func (c *run) bundled(ctx context.Context, packs []Pack) (out []candidate) {
	if len(packs) == 0 {
		return nil
	}
	first := (int(c.o.Attempt[0])<<16 | int(c.o.Attempt[1])<<8 | int(c.o.Attempt[2])) % len(packs)
	for i := range packs {
		p := packs[(first+i)%len(packs)]
		if p.Class != pack.Data || p.Live <= 0 || c.o.Doomed != nil && c.o.Doomed(p.Key) {
			continue
		}
		if len(c.known.bundles) >= maxWanted || ctx.Err() != nil {
			break
		}
		in, err := openInput(ctx, c.r, candidate{Pack: p})
		if err != nil {
			continue
		}
		any := false
		for _, e := range in.entries {
			if e.Kind == seal.KindBundle && c.o.Live(e.ID) {
				c.known.look(e.ID)
				any = true
			}
		}
		in.close()
		if any {
			out = append(out, candidate{Pack: p})
		}
	}
	return out
}

func (c *run) newPuncher() (*puncher, error) {
	sealer, err := seal.NewSealer(c.o.Recompress.Keys, c.o.Recompress.level())
	return &puncher{r: c.r, known: c.known, sealer: sealer, there: map[pack.Key]bool{}}, err
}

// hollowness answers how many bytes of a pack go with the dead members of its bundles, if it is
// thin without them. What the headers tell is not exact: the lengths of the lists of members
// are sealed. So where that looks promising the bundles are opened; else the same pack might be
// written anew in every run.
func (c *run) hollowness(ctx context.Context, p candidate) (int64, error) {
	if c.o.thin(p.Pack, 0) {
		return 0, nil // it is written anew in any case
	}
	in, err := openInput(ctx, c.r, p)
	if err != nil {
		return 0, nil //nolint:nilerr // it is seen when it is to be copied
	}
	defer in.close()
	var items []item
	about := int64(0)
	head := make([]byte, seal.HeaderSize)
	for _, e := range in.entries {
		m := c.known.bundles[e.ID]
		if e.Kind != seal.KindBundle || m == nil || m.h == (seal.H{}) {
			continue
		}
		if n, _ := in.rd.ReadAt(head, int64(e.Offset)); n < len(head) {
			continue
		}
		raw := int64(seal.RawLength(head))
		if !half(m.least(), raw) {
			continue
		}
		items = append(items, item{entry: e, at: repo.Location{ID: e.ID, Kind: e.Kind, Attempt: p.Attempt, Number: p.Number, Offset: e.Offset, Length: e.Length}})
		about += int64(e.Length) * (raw - m.least()) / raw
	}
	if !c.o.thin(p.Pack, about) {
		return 0, ctx.Err()
	}
	exact := int64(0)
	for i := range items {
		if err := c.wait(ctx, int(items[i].entry.Length)); err != nil {
			c.stop = err
			return 0, nil
		}
		rec, err := in.record(items, i)
		if err != nil {
			continue
		}
		if out, is, err := c.punch.record(ctx, &rec, items[i].at); err == nil && is {
			exact += int64(rec.Len() - out.Len())
		}
	}
	return exact, ctx.Err()
}

// half: a bundle is punched when it shrinks to less than half of its bytes. To take out less
// would cost a member list and a look at the whole bundle for little, and again soon.
func half(less, all int64) bool { return 2*less < all }

// record answers the record to be written for that of a bundle at a place; is tells that
// members were taken out. A bundle that lies elsewhere, too, stays as it is: of its copies
// without some members one must hold all that the others do.
func (p *puncher) record(ctx context.Context, rec *seal.Record, at repo.Location) (out seal.Record, is bool, err error) {
	m := p.known.bundles[rec.ID]
	if m == nil || m.h == (seal.H{}) || rec.NumRefs() > 0 || !half(m.least(), int64(rec.RawLen)) {
		return *rec, false, nil
	}
	if only, err := p.only(ctx, rec.ID, at); err != nil || !only {
		return *rec, false, err
	}
	p.plain, err = p.known.opener.Open(p.plain, rec, m.h)
	if errs.KindOf(err) == errs.Corrupt {
		return *rec, false, err
	}
	if err != nil { // an epoch that is not among these keys
		return *rec, false, nil //nolint:nilerr // it is copied as it is
	}
	b, err := seal.ParseBundle(p.plain)
	if err != nil || !m.in(&b) { // what is needed and not there is for a check to find
		return *rec, false, err
	}
	p.less = b.Without(p.less[:0], m.needs)
	if !half(int64(len(p.less)), int64(len(p.plain))) {
		return *rec, false, nil
	}
	if p.sealed, err = p.sealer.Seal(p.sealed[:0], seal.KindBundle, m.h, nil, p.less); err != nil {
		return *rec, false, err
	}
	out, err = seal.ParseRecord(p.sealed)
	return out, err == nil, err
}

// only tells whether a bundle lies nowhere else.
func (p *puncher) only(ctx context.Context, id seal.ID, at repo.Location) (bool, error) {
	for _, l := range p.r.Places(ctx, id) {
		if l.SamePlace(at) {
			continue
		}
		k := l.PackKey()
		there, known := p.there[k]
		if !known {
			var err error
			if there, err = storage.Exists(ctx, p.r.Backend(), l.PackName()); err != nil {
				return false, err
			}
			p.there[k] = there
		}
		if there {
			return false, nil
		}
	}
	return true, nil
}
