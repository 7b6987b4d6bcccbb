package pipeline

import (
	"context"
	"sync"
	"sync/atomic"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// job is a chunk on its way: hashed, then asked for, then sealed and sent, or dropped because
// the repository has it.
type job struct {
	kind    seal.Kind
	h       seal.H
	refs    []seal.H
	content []byte
	hold    *hold // what content lies in; nil: the job alone has it
	round   int
}

const (
	// budget bounds the bytes that are read and not yet sent: enough for every worker to be
	// busy while answers are under way.
	budget = 48 << 20
	// metaBudget bounds the index nodes under way.
	metaBudget = 16 << 20
	// haveBatch is how many chunks are asked for at once, at most; a question leaves as soon
	// as one of the askers is free, so nothing waits for a batch to fill.
	haveBatch = 256
	askers    = 2
)

// pool shares the work of a backup among its workers: finished chunks before new files, so
// that what is in memory leaves it first.
type pool struct {
	store   Store
	count   *Counters
	buffers buffers

	mu      sync.Mutex
	changed sync.Cond // any of what follows
	// moreToRead is for those that only read: where they may not, nothing wakes them.
	moreToRead sync.Cond
	lanes      lanes
	asking     []*job
	sealing    []*job
	units      []*unit
	limit      int   // units that may wait
	free       int64 // of budget
	meta       int64 // bytes of index nodes under way
	// round counts the flushes; open is how many jobs of this round and of the one before are
	// under way.
	round int
	open  [2]int
	// Chunks that refer to others wait in held while a checkpoint is made, unless it is theirs: the
	// store takes it only if all that is referred to is there, and those may not have been sent.
	holding bool
	held    []*job
	// pressed counts those who wait until what was offered is sent.
	pressed atomic.Int32
	known   knownSet
	// blind: the repository had nothing, so nothing but this backup's own chunks can be there.
	blind bool
	err   error
	ended bool
	// life ends with the first failure: who waits for something outside of the backup goes by it.
	life context.Context
	die  context.CancelFunc
}

func newPool(store Store, count *Counters, workers int) *pool {
	p := &pool{store: store, count: count, limit: 2 * workers, free: budget, buffers: buffers{limit: budget}, lanes: newLanes(workers)}
	p.changed.L, p.moreToRead.L = &p.mu, &p.mu
	p.life, p.die = context.WithCancel(context.Background())
	return p
}

// fail stops everything; the first failure is the one that is kept.
func (p *pool) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		p.die()
	}
	p.changed.Broadcast()
	p.moreToRead.Broadcast()
}

// end lets the workers go home once nothing is left to do.
func (p *pool) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.changed.Broadcast()
	p.moreToRead.Broadcast()
}

// submit hands a unit to the workers; it waits while enough of them wait there.
func (p *pool) submit(u *unit) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.units) >= p.limit && p.err == nil {
		p.changed.Wait()
	}
	if p.err != nil {
		u.complete()
		return p.err
	}
	p.units = append(p.units, u)
	p.changed.Broadcast()
	p.wakeExtra()
	return nil
}

// offer hands over a hashed chunk.
func (p *pool) offer(j *job) {
	p.count.chunks.Add(1)
	p.mu.Lock()
	if !p.known.add(j.h) {
		p.mu.Unlock()
		p.duplicate(j)
		p.release(j)
		return
	}
	j.round = p.round
	p.open[j.round&1]++
	if p.blind && p.known.all() {
		p.send(j)
	} else {
		p.asking = append(p.asking, j)
	}
	p.changed.Broadcast()
	p.mu.Unlock()
}

// send has a chunk sealed and sent, as soon as it may be; p.mu is held.
func (p *pool) send(j *job) {
	if p.holding && len(j.refs) > 0 && j.round == p.round {
		p.held = append(p.held, j)
		return
	}
	p.sealing = append(p.sealing, j)
}

// letGo ends what flush has begun, once the checkpoint is made.
func (p *pool) letGo() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sealing = append(p.sealing, p.held...)
	p.holding, p.held = false, nil
	p.changed.Broadcast()
}

func (p *pool) duplicate(j *job) {
	p.count.duplicates.Add(1)
	p.count.duplicateBytes.Add(int64(len(j.content)))
}

// release gives back a job's memory.
func (p *pool) release(j *job) {
	if j.hold != nil {
		p.unhold(j.hold)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meta -= int64(len(j.content))
	p.changed.Broadcast()
}

func (p *pool) unhold(h *hold) {
	if left := h.users.Add(-1); left > 0 {
		if left == 1 { // the reader may go on in it
			p.mu.Lock()
			p.changed.Broadcast()
			p.mu.Unlock()
		}
		return
	}
	size := len(h.buf)
	p.buffers.put(h.buf)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free += int64(size)
	p.changed.Broadcast()
	p.wakeExtra()
}

// done ends a job that was opened.
func (p *pool) done(j *job) {
	p.release(j)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[j.round&1]--
	p.changed.Broadcast()
}

// Save takes a node of the index; it is a fileindex.Saver.
func (p *pool) Save(_ context.Context, c fileindex.Chunk) error { return p.save(c, nil) }

// save waits while many nodes are under way. A caller that can seal does so meanwhile: when all
// who can wait here, nobody is left to make room.
func (p *pool) save(c fileindex.Chunk, seal func(*job)) error {
	p.mu.Lock()
	for p.meta > metaBudget && p.err == nil {
		if seal != nil {
			if j := p.nextSealing(); j != nil {
				p.mu.Unlock()
				seal(j)
				p.mu.Lock()
				continue
			}
		}
		p.pressed.Add(1)
		p.changed.Wait()
		p.pressed.Add(-1)
	}
	err := p.err
	p.meta += int64(len(c.Content))
	p.mu.Unlock()
	if err != nil {
		return err
	}
	p.offer(&job{kind: c.Kind, h: c.H, refs: c.Refs, content: c.Content})
	return nil
}

// flush returns when all that was offered before is with the store. What refers to others and is
// offered later waits until letGo. One goroutine flushes.
func (p *pool) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.round & 1
	p.round++
	p.holding = true
	p.pressed.Add(1)
	defer p.pressed.Add(-1)
	for p.open[old] > 0 && p.err == nil {
		p.changed.Wait()
	}
	return p.err
}

// hurry seals what waits while somebody waits for it to be sent: the workers may all be at large
// files, which they do not leave for it before memory is short.
func (p *pool) hurry(seal func(*job)) {
	for p.pressed.Load() > 0 {
		p.mu.Lock()
		j := p.nextSealing()
		p.mu.Unlock()
		if j == nil {
			return
		}
		seal(j)
	}
}

// ask asks the store for what was offered until the pool ends.
func (p *pool) ask(ctx context.Context) {
	var jobs []*job
	hs := make([]seal.H, 0, haveBatch)
	for {
		p.mu.Lock()
		for len(p.asking) == 0 && p.err == nil && !p.ended {
			p.changed.Wait()
		}
		if p.err != nil || len(p.asking) == 0 {
			p.mu.Unlock()
			return
		}
		n := min(len(p.asking), haveBatch)
		jobs = append(jobs[:0], p.asking[:n]...)
		p.asking = append(p.asking[:0], p.asking[n:]...)
		p.mu.Unlock()

		hs = hs[:0]
		for _, j := range jobs {
			hs = append(hs, j.h)
		}
		have, err := p.store.Have(ctx, hs)
		if err != nil {
			p.fail(err)
			return
		}
		p.answered(jobs, have)
	}
}

// asked tells whether the store owes an answer.
func (p *pool) asked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open[0]+p.open[1] > 0
}

func (p *pool) answered(jobs []*job, have []bool) {
	for i, j := range jobs {
		if have[i] {
			p.duplicate(j)
			p.done(j)
			continue
		}
		p.mu.Lock()
		p.send(j)
		p.changed.Broadcast()
		p.mu.Unlock()
	}
}

// take waits for work: a chunk to seal, or else a unit, whose memory is then the caller's
// and which doneReading ends. Both are nil when there is none to come.
func (p *pool) take() (*job, *unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil {
		if j := p.nextSealing(); j != nil {
			return j, nil
		}
		if len(p.units) == 0 && p.ended {
			return nil, nil
		}
		if p.lanes.busy < p.lanes.limit {
			if u := p.nextUnit(); u != nil {
				p.lanes.busy++
				return nil, u
			}
		}
		p.changed.Wait()
	}
	for _, u := range p.units {
		u.complete()
	}
	p.units = nil
	return nil, nil
}

func (p *pool) nextSealing() *job {
	if len(p.sealing) == 0 {
		return nil
	}
	j := p.sealing[0]
	p.sealing = append(p.sealing[:0], p.sealing[1:]...)
	return j
}

// block gets another buffer for a file in work. While there is no room the caller seals what
// waits, because it may be what holds the room.
func (p *pool) block(n int, seal func(*job)) (*hold, error) {
	return p.roomFor(n, seal, func() bool { return true })
}

// roomFor gets a buffer as soon as there is room for it, or, without room, as soon as waits says
// that it is not to be waited for.
func (p *pool) roomFor(n int, seal func(*job), waits func() bool) (*hold, error) {
	need := int64(bufferSize(n))
	p.mu.Lock()
	for p.err == nil && p.free < need && waits() {
		if j := p.nextSealing(); j != nil {
			p.mu.Unlock()
			seal(j)
			p.mu.Lock()
			continue
		}
		p.changed.Wait()
	}
	err := p.err
	if err == nil {
		p.free -= need
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return p.hold(n), nil
}

// hold makes the buffer of memory that was taken from the budget.
func (p *pool) hold(n int) *hold {
	h := &hold{buf: p.buffers.get(n)}
	h.users.Store(1)
	return h
}
