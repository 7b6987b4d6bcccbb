//go:build unix

package restore

import (
	"sync"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// job is one thing for a worker to do: a whole item, or a piece of a large one.
type job struct {
	it  *item // a whole item
	big *big  // or a piece of a large file, written at offset at
	x   fileindex.Extent
	at  int64
	// link: it is another name of this inode.
	link *inode
	// check: a piece of a file that is compared with the point.
	check *checked
}

// group is jobs that need the same chunk, which is fetched once for all of them; or jobs
// that need none (kind 0).
type group struct {
	kind seal.Kind
	h    seal.H
	jobs []job
}

// batch is groups whose chunks are fetched together, so that the store can read what lies
// together in one piece; or one group that needs none.
type batch []*group

// The window's bounds. Neighbours share chunks, so that a few dozen chunks catch nearly all
// sharing of files that were backed up together; those of many backups are spread over the
// tree, and what is not in the window any more is fetched again. So the plan runs ahead as far
// as its jobs, of some 400 bytes, may, but does not let workers wait for that. A large file
// that was rewritten in place again and again lies in the bundles of dozens of backups, too,
// each of which has blocks of a long stretch of it.
const (
	fewOpenGroups = 64
	maxJobs       = 32 << 10
	batchGroups   = 16
	maxGroupJobs  = 1024
	maxPlainJobs  = 128
)

// sender takes batches. A try fails where the batch would have to wait.
type sender struct {
	send func(batch)
	try  func(batch) bool
}

// window gathers jobs by chunk in the order of first use, so that packs are read on and on.
// It belongs to the planner.
type window struct {
	sender
	open  map[seal.H]*group
	order []*group
	jobs  int
	plain *group
}

func newWindow(s sender) *window {
	return &window{sender: s, open: make(map[seal.H]*group), plain: &group{}}
}

func (w *window) add(j job) {
	kind := seal.KindData
	switch j.x.Kind {
	case fileindex.InBundle:
		kind = seal.KindBundle
	case fileindex.Zeros, fileindex.Hole:
		w.addPlain(j)
		return
	}
	g := w.open[j.x.H]
	if g == nil {
		w.makeRoom()
		g = &group{kind: kind, h: j.x.H}
		w.open[j.x.H] = g
		w.order = append(w.order, g)
	}
	g.jobs = append(g.jobs, j)
	w.jobs++
	if len(g.jobs) >= maxGroupJobs {
		for w.open[j.x.H] == g {
			w.sendOldest() // in order, up to this one
		}
	}
}

// makeRoom sends the oldest groups when somebody waits for work, or must when there is no room.
func (w *window) makeRoom() {
	switch {
	case w.jobs >= maxJobs:
		w.sendOldest()
	case len(w.order) >= fewOpenGroups+batchGroups && len(w.order)%batchGroups == 0:
		if b := w.oldest(); w.try(b) {
			w.drop(b)
		}
	}
}

func (w *window) addPlain(j job) {
	w.plain.jobs = append(w.plain.jobs, j)
	if len(w.plain.jobs) >= maxPlainJobs {
		w.sendPlain()
	}
}

// oldest is a batch of the groups that are in the window for longest.
func (w *window) oldest() batch {
	b := make(batch, min(batchGroups, len(w.order)))
	copy(b, w.order)
	return b
}

// drop takes a batch out of the window, which is sent.
func (w *window) drop(b batch) {
	w.order = append(w.order[:0], w.order[len(b):]...)
	for _, g := range b {
		delete(w.open, g.h)
		w.jobs -= len(g.jobs)
	}
}

func (w *window) sendOldest() {
	b := w.oldest()
	w.drop(b)
	w.send(b)
}

func (w *window) sendPlain() {
	if len(w.plain.jobs) > 0 {
		w.send(batch{w.plain})
		w.plain = &group{}
	}
}

// flush sends everything.
func (w *window) flush() {
	for len(w.order) > 0 {
		w.sendOldest()
	}
	w.sendPlain()
}

// tally counts batches that were sent and are not finished, and lets the planner wait until
// there are none.
type tally struct {
	mu   sync.Mutex
	none sync.Cond
	n    int
}

func newTally() *tally {
	t := &tally{}
	t.none.L = &t.mu
	return t
}

func (t *tally) add() {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
}

func (t *tally) done() {
	t.mu.Lock()
	if t.n--; t.n == 0 {
		t.none.Broadcast()
	}
	t.mu.Unlock()
}

func (t *tally) wait() {
	t.mu.Lock()
	for t.n > 0 {
		t.none.Wait()
	}
	t.mu.Unlock()
}
