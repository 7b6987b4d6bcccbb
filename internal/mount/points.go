package mount

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"keepward/internal/repo/seal"
)

// points are the points that are shown. It knows which there are and by what names; a point keeps
// its name and its number for as long as the mount lasts, also while it is deleted.
type points struct {
	o       Options
	ctx     context.Context
	wg      sync.WaitGroup
	state   *outage
	pool    *cursors
	nodes   *cache
	data    *cache
	changed chan struct{} // one signal: what the topmost folder holds is another

	listing sync.Mutex // who holds it lists; taken before mu

	mu      sync.RWMutex
	readers map[string]*reader // by repository
	byID    map[string]*tree
	all     []*tree // by their index, from 1 on
	byName  map[string]*tree
	listed  time.Time
	stale   []string // names that the kernel must forget
}

func newPoints(ctx context.Context, o Options) *points {
	memory := cmp.Or(o.Memory, defaultMemory)
	var one sync.Mutex
	out := o.Tell
	tell := func(text string) {
		one.Lock()
		defer one.Unlock()
		if out != nil {
			out(text)
		}
	}
	o.Tell = tell
	return &points{
		o: o, ctx: ctx, state: &outage{patience: cmp.Or(o.Patience, defaultPatience), tell: tell}, pool: &cursors{}, nodes: newCache(memory), data: newCache(memory),
		changed: make(chan struct{}, 1), readers: map[string]*reader{}, byID: map[string]*tree{}, byName: map[string]*tree{},
	}
}

// refresh lists the points anew. While that cannot be done the former list stays.
func (p *points) refresh(ctx context.Context) error {
	p.listing.Lock()
	defer p.listing.Unlock()
	var list []Point
	err := p.state.try(ctx, func(ctx context.Context) (err error) {
		list, err = p.o.Store.Points(ctx)
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b Point) int { return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.ID, b.ID)) })
	there := make(map[string]bool, len(list))
	for _, one := range list {
		there[one.ID] = true
		if err := p.add(ctx, one); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed = time.Now()
	for _, t := range p.all {
		if now := !there[t.point.ID]; t.gone.Swap(now) != now {
			p.turned(t, now)
		}
	}
	return nil
}

// turned notes that a point was deleted, or is there again. Under mu.
func (p *points) turned(t *tree, gone bool) {
	what := "is there again"
	if gone {
		what = "was deleted; what is open in it can no longer be read"
	}
	p.o.Tell(fmt.Sprintf("restore point %s of %s %s", t.point.ID, t.name, what))
	p.stale = append(p.stale, t.name)
	p.signal()
}

// signal says that there are stale names.
func (p *points) signal() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// staleNames takes the names that the kernel must forget.
func (p *points) staleNames() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	names := p.stale
	p.stale = nil
	return names
}

// lost notes that reading said that a point is deleted.
func (p *points) lost(t *tree) {
	if t.gone.Swap(true) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turned(t, true)
}

func (p *points) add(ctx context.Context, one Point) error {
	p.mu.RLock()
	known, r := p.byID[one.ID], p.readers[one.Repository]
	p.mu.RUnlock()
	if known != nil {
		return nil
	}
	if r == nil {
		var keys *seal.Keys
		err := p.state.try(ctx, func(ctx context.Context) (err error) {
			keys, err = p.o.Store.Keys(ctx, one.Repository)
			return err
		})
		if err != nil {
			return err
		}
		r = &reader{
			store: p.o.Store, keys: keys, state: p.state, nodes: p.nodes, data: p.data,
			ahead: make(chan struct{}, fetchesAhead), ctx: p.ctx, wg: &p.wg,
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers[one.Repository] = r
	t := &tree{point: one, index: uint64(len(p.all) + 1), name: p.name(one), r: r, pool: p.pool}
	p.all = append(p.all, t)
	p.byID[one.ID], p.byName[t.name] = t, t
	return nil
}

// nameFormat is that of folders: as in tables, of characters that every system has in names.
const nameFormat = "2006-01-02T15-04-05"

// latestName is the link that leads to the newest whole point.
const latestName = "latest"

// name is a folder's name that no other has.
func (p *points) name(one Point) string {
	zone := cmp.Or(p.o.Zone, time.Local)
	name := one.Time.In(zone).Format(nameFormat)
	if p.byName[name] == nil && name != latestName {
		return name
	}
	for n := 6; ; n++ { // two points of one second; ids are 32 digits long
		if long := name + "_" + one.ID[:min(n, len(one.ID))]; p.byName[long] == nil {
			return long
		}
	}
}

// ofNode is the tree that a node belongs to; nil: there never was one.
func (p *points) ofNode(number uint64) *tree {
	index := number >> indexShift
	p.mu.RLock()
	defer p.mu.RUnlock()
	if index == 0 || index > uint64(len(p.all)) {
		return nil
	}
	return p.all[index-1]
}

// named is the tree of a folder; nil: there is none (any more).
func (p *points) named(name string) *tree {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if t := p.byName[name]; t != nil && !t.gone.Load() {
		return t
	}
	return nil
}

// behind are the trees of a higher index that are there.
func (p *points) behind(index uint64) []*tree {
	p.mu.RLock()
	defer p.mu.RUnlock()
	var list []*tree
	for _, t := range p.all[min(index, uint64(len(p.all))):] {
		if !t.gone.Load() {
			list = append(list, t)
		}
	}
	return list
}

// latest is the newest whole point; nil: there is none.
func (p *points) latest() (newest *tree) {
	for _, t := range p.behind(0) {
		if !t.point.Partial && (newest == nil || !t.point.Time.Before(newest.point.Time)) {
			newest = t
		}
	}
	return newest
}

// old tells whether the list is so old that who looks at it wants another.
func (p *points) old() bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return time.Since(p.listed) > refreshOld
}

// serve lists the points now and then.
func (p *points) serve(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := p.refresh(ctx); err != nil && !temporary(err) && ctx.Err() == nil {
				p.o.Tell("the list of points is as it was: " + err.Error())
			}
		}
	}
}

// close waits for what is under way; nothing is asked for any more.
func (p *points) close() {
	p.pool.close()
	p.wg.Wait()
}
