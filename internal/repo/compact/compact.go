// Package compact writes what is still needed of thin and of small packs into new ones, so
// that the old can be deleted.
//
// It deletes nothing, and it decides nothing of what is needed: that is its caller's word. It
// copies records as they are, after a look at their checksums, and answers which packs hold
// nothing any more that is needed and does not lie elsewhere as well as it lay there. It needs
// no key. Why these packs and not others is in docs/decisions/compaction.md.
//
// A Run belongs to one goroutine; the functions it is given are called from it alone. Any
// number of writers and readers may use the repository meanwhile, and other runs too.
package compact

import (
	"cmp"
	"context"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// Pack is what its caller knows of a pack's use.
type Pack struct {
	pack.Key
	Size int64 // of the object
	Live int64 // bytes of records that points need here
	Dead int64 // bytes of all others
	// Marked: a record in it is marked as damaged, and nothing needs that one.
	Marked bool
}

// Options say what a run may do.
type Options struct {
	// Attempt is the run's own. Its open marker is there before the run begins, so that no other
	// sweep takes its packs for garbage.
	Attempt point.Attempt
	// Live tells whether points need a chunk.
	Live func(seal.ID) bool
	// Doomed, if set, tells of packs that are or will be condemned by other reasons: what lies
	// there does not count as lying elsewhere.
	Doomed func(pack.Key) bool
	// Below: packs with a smaller share of live bytes are written anew. Zero: 0.7; negative: none.
	Below float64
	// Thorough: thin packs are written anew also where little is gained.
	Thorough bool
	// JoinBelow: packs smaller than this are joined, if several become one. Zero: a quarter of
	// PackSize; negative: none.
	JoinBelow int64
	// PackSize is where a new pack is closed; zero: 64 MiB.
	PackSize int64
	// Wait, if set, is called with the bytes that are read and written next: it slows the run
	// down. Its error ends the run as the end of ctx does.
	Wait func(ctx context.Context, bytes int64) error
	// MaxBytes bounds the live bytes that a run takes up; the rest waits for the next. Zero: no
	// bound but the room on the disk.
	MaxBytes int64
	// Recompress, if set, makes records denser while they are copied, and has packs written anew
	// that were compressed fast.
	Recompress *Recompression
	// Progress, if set, is told the live bytes looked at so far, and in all.
	Progress func(done, total int64)
}

const (
	defaultBelow    = 0.7
	defaultPackSize = 64 << 20
	// spare packs' worth of room is left to the writers.
	spare = 8
)

// Damage is a record that is needed and not good.
type Damage struct {
	repo.Location
	Err error
}

// Kept is a pack that was to be given up and is not.
type Kept struct {
	Pack
	Err error // why
}

// Result is what a run did. It is right also if the run ended with an error.
type Result struct {
	// Condemn are the packs that nothing needs any more: what was needed of them lies elsewhere,
	// durably, and the index tells of it.
	Condemn      []pack.Key
	ReadBytes    int64 // records of old packs
	WrittenBytes int64 // records of new packs that the index tells of
	FreedBytes   int64 // dead bytes of the packs in Condemn
	SavedBytes   int64 // by compressing records anew
	Punched      int64 // bundles of which dead members were taken out
	PunchedBytes int64 // saved by that
	Written      int   // new packs
	Segments     int   // published
	// Postponed packs wait for another run: there was no room for them, or MaxBytes was reached.
	Postponed int
	Damaged   []Damage
	Kept      []Kept
}

// Run writes new packs and their segments. When ctx ends it makes durable what it has and
// answers that with ctx's error. If the disk is full, what was begun is taken back.
func Run(ctx context.Context, r *repo.Repository, packs []Pack, o Options) (Result, error) {
	o.defaults()
	c := &run{r: r, o: o, b: r.Backend(), chosen: map[pack.Key]bool{}}
	c.out = newOutput(r, o)
	groups, err := c.choose(ctx, packs)
	defer c.known.close()
	if err == nil {
		err = c.groups(ctx, groups)
	}
	err = c.out.end(ctx, err)
	c.collect()
	return c.result, cmp.Or(err, c.stop, ctx.Err())
}

// choose looks which packs are worth it.
func (c *run) choose(ctx context.Context, packs []Pack) ([]group, error) {
	all, err := c.candidates(ctx, packs)
	if err == nil && ctx.Err() == nil && c.o.Recompress != nil {
		all, err = c.survey(ctx, packs, all)
	}
	if err != nil || ctx.Err() != nil {
		return nil, err // when ctx has ended the run does in order
	}
	groups := plan(all, c.o)
	for _, g := range groups {
		for _, p := range g.packs {
			c.chosen[p.Key] = true
			c.total += p.Live
		}
	}
	if len(groups) > 0 {
		c.whole, err = c.r.WholePacks(ctx)
	}
	return groups, err
}

func (o *Options) defaults() {
	if o.Below == 0 {
		o.Below = defaultBelow
	}
	if o.PackSize == 0 {
		o.PackSize = defaultPackSize
	}
	if o.JoinBelow == 0 {
		o.JoinBelow = o.PackSize / 4
	}
}

// run is one run.
type run struct {
	r      *repo.Repository
	b      storage.Backend
	o      Options
	chosen map[pack.Key]bool
	whole  []pack.Key // proved as a whole by a check, sorted
	out    *output
	known  *hashes // what a walk of the trees has found; nil: nobody walked
	dense  *denser // nil: records stay as they are
	punch  *puncher
	hollow map[pack.Key]int64
	given  []given // packs that are done
	stop   error   // why no more packs are taken up
	done   int64   // live bytes
	total  int64
	buf    []byte
	result Result
}

// given is a pack that may go as soon as the new packs up to a number are in the index.
type given struct {
	Pack
	after uint32
}

func (c *run) groups(ctx context.Context, groups []group) error {
	for _, g := range groups {
		c.out.begin(g.owner, g.class)
		for _, p := range g.packs {
			if c.stop != nil || ctx.Err() != nil {
				return nil
			}
			room, err := c.room(ctx, p)
			if err != nil {
				return err
			}
			if !room {
				c.result.Postponed++
				continue
			}
			if err := c.pack(ctx, p); err != nil {
				return err
			}
			c.done += p.Live
			if c.o.Progress != nil {
				c.o.Progress(c.done, c.total)
			}
		}
		if err := c.out.close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// room tells whether a pack may be taken up. Old packs go only long after the run, so all that
// it writes must fit beside them.
func (c *run) room(ctx context.Context, p candidate) (bool, error) {
	if c.o.MaxBytes > 0 && c.done+p.Live > c.o.MaxBytes {
		return false, nil
	}
	s, ok := c.b.(storage.Spacer)
	if !ok {
		return true, nil
	}
	free, err := s.Free(ctx)
	return free < 0 || free-p.Live >= spare*c.o.PackSize, err
}

// pack writes anew what is needed of one pack. An error is one of writing: the run ends. What
// is wrong with the pack keeps it, and the run goes on.
func (c *run) pack(ctx context.Context, p candidate) error {
	in, err := openInput(ctx, c.r, p)
	if err != nil {
		return c.keep(ctx, p, err)
	}
	defer in.close()
	items, after, err := c.needed(ctx, in)
	if err != nil {
		return c.keep(ctx, p, err)
	}
	for i := range items {
		n, err := c.copy(ctx, in, items, i)
		if err != nil {
			if c.out.err != nil {
				return err
			}
			return c.keep(ctx, p, err)
		}
		after = max(after, n)
	}
	c.given = append(c.given, given{p.Pack, after})
	return nil
}

// keep notes that a pack is not given up; that the run ends is no reason worth to be noted.
func (c *run) keep(ctx context.Context, p candidate, err error) error {
	if c.stop == nil && ctx.Err() == nil {
		c.result.Kept = append(c.result.Kept, Kept{p.Pack, err})
	}
	return nil
}

// copy writes one record into the open pack and answers that pack's number.
func (c *run) copy(ctx context.Context, in *input, items []item, i int) (uint32, error) {
	rec, err := in.record(items, i)
	if err == nil {
		c.result.ReadBytes += int64(rec.Len())
		if c.stop = c.wait(ctx, 2*rec.Len()); c.stop != nil {
			return 0, c.stop
		}
	}
	need := items[i].need
	if err == nil {
		rec, err = c.better(ctx, rec, items[i].at, &need)
	}
	if errs.KindOf(err) == errs.Corrupt {
		c.damage(items[i].at, err)
		return 0, fmt.Errorf("chunk %s is damaged: %w", items[i].at.ID, err)
	}
	if err != nil {
		return 0, err
	}
	return c.out.add(ctx, &rec, need)
}

// better answers the record to be written for rec: without dead members, or denser.
func (c *run) better(ctx context.Context, rec seal.Record, at repo.Location, n *need) (seal.Record, error) {
	if c.punch != nil && rec.Kind == seal.KindBundle {
		out, is, err := c.punch.record(ctx, &rec, at)
		if is {
			n.punched = true
			c.result.Punched++
			c.result.PunchedBytes += int64(rec.Len() - out.Len())
		}
		if is || err != nil {
			return out, err
		}
	}
	// A punched bundle that is copied stays the same record: only so others, who have no key,
	// see that one of the two may go.
	if c.dense != nil && !rec.Punched {
		return c.denser(rec, n)
	}
	return rec, nil
}

// denser answers the record to be written for rec. If it was opened on the way, it is proved.
func (c *run) denser(rec seal.Record, n *need) (seal.Record, error) {
	out, changed, opened, err := c.dense.record(&rec)
	if opened {
		n.proved, n.owners = true, n.owners[:1]
	}
	if changed {
		c.result.SavedBytes += int64(rec.Len() - out.Len())
	}
	return out, err
}

// damage reports a place and has the index say so, so that the next backup that holds the
// chunk stores it again.
func (c *run) damage(l repo.Location, err error) {
	c.result.Damaged = append(c.result.Damaged, Damage{l, err})
	c.out.mark(l)
}

// wait lets the caller slow the run down.
func (c *run) wait(ctx context.Context, n int) error {
	if c.o.Wait == nil {
		return ctx.Err()
	}
	return c.o.Wait(ctx, int64(n))
}

// collect answers which packs may go now.
func (c *run) collect() {
	for _, g := range c.given {
		if g.after <= c.out.published {
			c.result.Condemn = append(c.result.Condemn, g.Key)
			c.result.FreedBytes += g.Dead
		}
	}
	c.result.WrittenBytes, c.result.Written, c.result.Segments = c.out.bytes, c.out.packs, c.out.segments
}
