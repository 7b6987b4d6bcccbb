// Package merge joins the index segments of a repository, so that a lookup asks a few of them
// and not one of every attempt there ever was.
//
// Merged segments keep what a lookup may say: whose a row is, what was proved and what is
// damaged. Rows of packs that are gone, and what other rows say already, are left out. It is
// not for deciding which packs go, and it needs no key.
//
// One Run at a time serves a repository, though two do no harm: a segment is removed only by
// whom has read all of it and made durable what it said. Readers and writers go on meanwhile.
package merge

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// Options say how far a run goes.
type Options struct {
	// Attempt is the run's own: the joined segments bear its name.
	Attempt point.Attempt
	// Remove takes an object out of the repository, if that may still be done; it is asked for
	// each part, after what was made of it is durable.
	Remove func(ctx context.Context, name string) error
	// FanIn is how many segments of about one size are joined; zero: 4.
	FanIn int
	// MaxRows bounds a joined segment; zero: 32 million. The run needs two bytes of memory for
	// each row of the largest.
	MaxRows int64
	// Progress, if set, is told the rows read so far, of two passes, and in all.
	Progress func(done, total int64)
}

const (
	defaultFanIn   = 4
	defaultMaxRows = 32 << 20
)

// Result is what a run did. It is right also if the run ended with an error.
type Result struct {
	Before, After int   // segments in use
	Merged        int   // of those, taken up by others or empty
	Written       int   // joined segments
	RowsRead      int64 // of the parts
	RowsWritten   int64
	// Damaged are segments that could not be read; a repairing check makes them anew.
	Damaged []string
}

// Run joins what is worth to be joined. What it has done when ctx ends stays done.
func Run(ctx context.Context, r *repo.Repository, o Options) (Result, error) {
	if o.FanIn == 0 {
		o.FanIn = defaultFanIn
	}
	if o.MaxRows == 0 {
		o.MaxRows = defaultMaxRows
	}
	m := &merger{r: r, o: o, number: 1}
	if c, ok := r.Backend().(storage.Cleaner); ok {
		// What a run that was killed left behind. If one still lives elsewhere, it fails, and has
		// changed nothing.
		if err := c.Clean(ctx, indexDir); err != nil {
			return m.result, err
		}
	}
	if err := r.Refresh(ctx); err != nil {
		return m.result, err
	}
	err := m.run(ctx)
	m.result.After = len(r.Segments())
	return m.result, err
}

const indexDir = "index"

type merger struct {
	r      *repo.Repository
	o      Options
	number uint32 // the next free one of the attempt
	gone   map[pack.Key]bool
	done   int64
	total  int64
	result Result
}

func (m *merger) run(ctx context.Context) error {
	parts := m.parts()
	m.result.Before = len(parts)
	if err := m.findGone(ctx, parts); err != nil {
		return err
	}
	groups := plan(m.describe(parts), m.o.FanIn, m.o.MaxRows)
	for _, g := range groups {
		for _, i := range g {
			m.total += 2 * parts[i].Rows()
		}
	}
	for _, g := range groups {
		group := make([]repo.IndexSegment, len(g))
		for i, at := range g {
			group[i] = parts[at]
		}
		if err := m.join(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// parts are the segments that may be joined: not those that stand for damaged ones, since only
// a check that was told to repair gives up what these still hold.
func (m *merger) parts() []repo.IndexSegment {
	var parts []repo.IndexSegment
	for _, s := range m.r.Segments() {
		if s.Rebuilt {
			m.result.Damaged = append(m.result.Damaged, s.Name)
			continue
		}
		parts = append(parts, s)
	}
	return parts
}

// findGone looks which packs are not there any more. It looks after the segments were listed
// and asks for each of the packs again, so that none that is only new is taken for gone.
func (m *merger) findGone(ctx context.Context, parts []repo.IndexSegment) error {
	m.gone = map[pack.Key]bool{}
	for _, s := range parts {
		for _, p := range s.Packs {
			m.gone[pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number}] = true
		}
	}
	err := m.r.Backend().List(ctx, repo.PacksDir, func(i storage.Info) error {
		if k, err := repo.ParsePackName(i.Name); err == nil { // else it is not ours
			delete(m.gone, k)
		}
		return nil
	})
	if err != nil {
		return err
	}
	// Whoever removed a pack may have died before that was durable. Were its rows forgotten, and
	// the power lost, it would come back as a pack that nobody knows, without its marks of damage.
	var synced string
	for _, k := range slices.SortedFunc(maps.Keys(m.gone), pack.Key.Compare) {
		if dir := path.Dir(repo.PackName(k.Attempt, k.Class, k.Number)); dir != synced {
			if err := m.r.Backend().Sync(ctx, dir); err != nil {
				return err
			}
			synced = dir
		}
		there, err := storage.Exists(ctx, m.r.Backend(), repo.PackName(k.Attempt, k.Class, k.Number))
		if err != nil {
			return err
		}
		if there {
			delete(m.gone, k)
		}
	}
	return nil
}

// join makes one segment of a group and removes the parts.
func (m *merger) join(ctx context.Context, group []repo.IndexSegment) error {
	for {
		name, err := m.write(ctx, group)
		var bad *segment.PartError
		if errors.As(err, &bad) { // the others go on without it
			m.result.Damaged = append(m.result.Damaged, group[bad.Part].Name)
			group = append(group[:bad.Part:bad.Part], group[bad.Part+1:]...)
			if len(group) < 2 {
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		return m.replace(ctx, name, group)
	}
}

// replace puts the joined segment into use and the parts out of it. An empty name: nothing was
// left of them.
func (m *merger) replace(ctx context.Context, name string, group []repo.IndexSegment) error {
	names := make([]string, len(group))
	for i := range group {
		names[i] = group[i].Name
		m.result.RowsRead += group[i].Rows()
	}
	if name == "" {
		m.r.DropSegments(names)
	} else if err := m.r.UseSegment(ctx, name, names); err != nil {
		return err
	}
	m.result.Merged += len(group)
	if m.o.Remove == nil {
		return nil
	}
	for _, n := range names {
		if err := m.o.Remove(ctx, n); err != nil && errs.KindOf(err) != errs.NotFound {
			return err
		}
	}
	return nil
}

func (m *merger) report() {
	if m.o.Progress != nil {
		m.o.Progress(m.done, m.total)
	}
}
