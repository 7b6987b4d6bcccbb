package source

import (
	"context"
	"sync"
)

// taskState is how far a piece of work has come: listing a directory, or statting a batch.
type taskState uint8

const (
	idle taskState = iota
	claimed
	done
)

// task is a piece of work of a walk; exactly one of its fields is set beside the node.
type task struct {
	node  *node      // list it; with batch: the directory the batch is of
	batch *statBatch // stat it
}

func (t task) state() *taskState {
	if t.batch != nil {
		return &t.batch.state
	}
	return &t.node.state
}

// run is a row of tasks that follow each other in the walk's order: the batches of a listing
// or the directories of a batch. Runs form a list in the walk's order.
type run struct {
	node       *node
	batches    []*statBatch // else
	subs       []*node
	next       int
	prev, succ *run
}

func (r *run) len() int { return len(r.batches) + len(r.subs) }

func (r *run) task(i int) task {
	if r.batches != nil {
		return task{node: r.node, batch: r.batches[i]}
	}
	return task{node: r.subs[i]}
}

// ahead hands out the work of a walk in the order in which its results are wanted, to workers
// that run ahead of the reader by a bounded number of files. The reader does itself what
// nobody has begun, so the bound can never stop it.
type ahead struct {
	mu    sync.Mutex
	work  sync.Cond // there may be work, or room for it
	ready sync.Cond // a task is done
	// first is a run without tasks that stands before all others.
	first   run
	files   int // statted, and not yet passed by the reader
	limit   int
	idle    int // workers that wait
	wanted  int // readers that wait
	stopped bool
}

// lookAhead is how many files are statted before they are asked for: enough that one slow
// directory does not stop the readers, a few MiB of memory.
const lookAhead = 8192

func newAhead() *ahead {
	a := &ahead{limit: lookAhead}
	a.work.L, a.ready.L = &a.mu, &a.mu
	return a
}

// pick claims the first task nobody has begun, and leaves a place for what it will lead to.
func (a *ahead) pick() (t task, place *run, ok bool) {
	for r := a.first.succ; r != nil; {
		for r.next < r.len() {
			t = r.task(r.next)
			r.next++
			if s := t.state(); *s == idle {
				*s = claimed
				place = &run{}
				a.insert(place, r.prev)
				if r.next == r.len() {
					a.remove(r)
				}
				return t, place, true
			}
		}
		succ := r.succ
		if r.len() > 0 {
			a.remove(r)
		}
		r = succ
	}
	return task{}, nil, false
}

func (a *ahead) insert(r, behind *run) {
	r.prev, r.succ = behind, behind.succ
	if r.succ != nil {
		r.succ.prev = r
	}
	behind.succ = r
}

func (a *ahead) remove(r *run) {
	r.prev.succ = r.succ
	if r.succ != nil {
		r.succ.prev = r.prev
	}
}

// serve works until the walk stops.
func (a *ahead) serve(do func(t task, place *run)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.stopped {
		var t task
		var place *run
		ok := false
		if a.files < a.limit {
			t, place, ok = a.pick()
		}
		if !ok {
			a.idle++
			a.work.Wait()
			a.idle--
			continue
		}
		a.mu.Unlock()
		do(t, place)
		a.mu.Lock()
	}
}

// finish marks a task done; next is the work it leads to, or nil, and files what it statted.
func (a *ahead) finish(t task, place *run, next *run, files int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*t.state() = done
	a.files += files
	if next != nil {
		a.insert(next, place)
		if a.idle > 0 {
			a.work.Broadcast()
		}
	}
	a.remove(place)
	if a.wanted > 0 {
		a.ready.Broadcast()
	}
}

// await returns when t is done; it does t itself if nobody has begun it.
func (a *ahead) await(ctx context.Context, t task, do func(t task, place *run)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for *t.state() != done {
		if err := ctx.Err(); err != nil {
			return err
		}
		if *t.state() == idle {
			// The first task nobody has begun is the one that is wanted next.
			p, place, ok := a.pick()
			if ok {
				a.mu.Unlock()
				do(p, place)
				a.mu.Lock()
				continue
			}
		}
		a.wanted++
		a.ready.Wait()
		a.wanted--
	}
	return nil
}

// passed tells that the reader has gone by so many files.
func (a *ahead) passed(files int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.files -= files
	if a.idle > 0 && a.files < a.limit*3/4 {
		a.work.Broadcast()
	}
}

func (a *ahead) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	a.work.Broadcast()
}
