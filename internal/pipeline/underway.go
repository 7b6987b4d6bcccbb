package pipeline

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// underway is what has been handed to the workers and is not yet in the tree. A checkpoint takes
// from it the files that are finished, which wait for one before them, and how far the large
// ones have got. Workers tell it, the goroutine that builds the tree asks.
type underway struct {
	// wanted is the number of the checkpoint that readers have to answer; they look at it after
	// every step.
	wanted atomic.Int64
	// nudge wakes the builder. One message is enough for whatever has changed.
	nudge chan struct{}

	mu    sync.Mutex
	units []*unit // in the order in which they were handed out
	swept int     // units after the last look for those that are in the tree
	open  bool    // a checkpoint is wanted and not yet made
	since time.Time
}

// patience is how long a checkpoint waits for the readers' answers: what a disk that hangs
// reads meanwhile is read again.
const patience = 5 * time.Second

func newUnderway() *underway { return &underway{nudge: make(chan struct{}, 1)} }

// begin takes a unit before it is handed out. added is the last group in the tree.
func (u *underway) begin(n *unit, added int64) {
	n.of = u
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.units) > 2*u.swept+64 {
		u.units = slices.DeleteFunc(u.units, func(n *unit) bool { return n.items[len(n.items)-1].seq <= added })
		u.swept = len(u.units)
	}
	u.units = append(u.units, n)
}

// finished notes that all entries of a unit are complete.
func (u *underway) finished(n *unit) {
	u.mu.Lock()
	n.reading, n.begun, n.finished = false, nil, true
	u.mu.Unlock()
	u.wake()
}

// reading notes that a large file answers from now on, and tells which checkpoint was the last
// that it need not answer.
func (u *underway) reading(n *unit) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	n.reading, n.answered = true, u.wanted.Load()
	if u.open {
		n.answered--
	}
	return n.answered
}

// answer is how far a large file has got; nil: nowhere.
func (u *underway) answer(n *unit, number int64, begun *fileindex.Entry) {
	u.mu.Lock()
	n.answered, n.begun = number, begun
	u.mu.Unlock()
	u.wake()
}

func (u *underway) wake() {
	select {
	case u.nudge <- struct{}{}:
	default:
	}
}

// want has the readers answer for a checkpoint that is due. It wakes the builder where that is
// new, or one of them does not answer.
func (u *underway) want(now time.Time) {
	u.mu.Lock()
	fresh := !u.open
	if fresh {
		u.open, u.since = true, now
		u.wanted.Add(1)
	}
	late := now.Sub(u.since) >= patience
	u.mu.Unlock()
	if fresh || late {
		u.wake()
	}
}

// ready tells whether all who read a large file have answered, or had time enough.
func (u *underway) ready(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.open || now.Sub(u.since) >= patience {
		return u.open
	}
	number := u.wanted.Load()
	return !slices.ContainsFunc(u.units, func(n *unit) bool { return n.reading && n.answered < number })
}

func (u *underway) made() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open = false
}

// keyed is an entry under its key.
type keyed struct {
	key []byte
	e   *fileindex.Entry
}

// files are the files behind the group added of which something was read, in the order of the
// tree. They are valid until the next group is added.
func (u *underway) files(added int64, key func(*fileindex.Entry) []byte) []keyed {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []keyed
	for _, n := range u.units {
		if n.begun != nil && n.items[0].seq > added {
			out = append(out, keyed{key(n.begun), n.begun})
		}
		if !n.finished {
			continue
		}
		for i := range n.items {
			it := &n.items[i]
			if it.seq > added && it.e.Type == fileindex.File && it.e.Size > 0 {
				out = append(out, keyed{key(it.e), it.e})
			}
		}
	}
	slices.SortFunc(out, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	return out
}

// ahead makes a tree of what was read behind the orderer's last group.
func (o *orderer) ahead(ctx context.Context, hasher *seal.Hasher, saver fileindex.Saver) (fileindex.Tree, error) {
	kind, key := seal.KindNode, func(e *fileindex.Entry) []byte { return fileindex.PathKey(e.Path) }
	if o.inodes {
		kind, key = seal.KindInode, func(e *fileindex.Entry) []byte { return fileindex.InodeKey(e.Device, e.Inode) }
	}
	b := fileindex.NewBuilder(kind, hasher, saver)
	for _, k := range o.underway.files(o.added.Load(), key) {
		if err := b.AddKeyed(ctx, k.key, k.e); err != nil {
			return fileindex.Tree{}, err
		}
	}
	return b.Finish(ctx)
}
