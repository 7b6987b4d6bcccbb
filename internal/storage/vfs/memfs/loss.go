package memfs

import (
	"math/rand/v2"
	"slices"
)

// much is how much of what was not synced reached the disk before the power went.
type much int

const (
	none much = iota
	some      // each piece by chance
	all
)

// block is the piece of a file that the disk writes whole.
const block = 512

// Losses is how many kinds of loss there are: seeds 0 to Losses-1 are one of each.
const Losses = 9

// NoNames is a seed of which no name survives that was not synced.
func NoNames(seed uint64) uint64 { return seed - seed%3 }

// Restart is the disk as it is found after a loss of power now. The old one is dead.
//
// The seed decides what survives of what was not synced. Names and contents go independently,
// none, some or all of each: nine kinds, of which seeds 0 to 8 are one of each. Of some names,
// each stands for any of what it has stood for since the last sync. Of some content, the
// length is any, and each block of 512 bytes is there, or zeros, or garbage. Of none, the
// length may yet have grown, by zeros.
func (f *FS) Restart(seed uint64) *FS {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.dead = true
	return lose(f.d.root, seed)
}

// Reopen is the disk after all processes died: nothing is lost that was written.
func (f *FS) Reopen() *FS {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.dead = true
	return on(f.d.root)
}

// Record begins to keep what the disk was before each changing call.
func (f *FS) Record() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.record, f.d.states = true, nil
}

// State is a disk as it was once. Any number of goroutines may use it.
type State struct {
	// Call is the changing call before which it was so.
	Call           int
	root           *node
	changed, shown int
}

// States are the disk as it was before each changing call since Record, and as it is now.
func (f *FS) States() []*State {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return append(slices.Clone(f.d.states), f.d.state())
}

// state is a copy of the disk as it is now, before the next call; the lock is held.
func (d *disk) state() *State {
	s := &State{Call: d.calls + 1, changed: d.changed, shown: d.shown}
	if last := len(d.states) - 1; last >= 0 && d.states[last].changed == d.changed {
		s.root = d.states[last].root
	} else {
		s.root = copyTree(d.root)
	}
	return s
}

// Same tells whether two states of one disk are the same, in all that a loss of power could
// leave, and Shows whether they are in all that the death of a process leaves.
func (s *State) Same(o *State) bool { return s.changed == o.changed }

// Shows is explained at Same.
func (s *State) Shows(o *State) bool { return s.shown == o.shown }

// Restart is the disk after a loss of power: see FS.Restart.
func (s *State) Restart(seed uint64) *FS { return lose(s.root, seed) }

// Reopen is the disk after the death of all processes. What happens to it changes no other.
func (s *State) Reopen() *FS { return on(copyTree(s.root)) }

func lose(root *node, seed uint64) *FS {
	l := &loss{
		names: much(seed % 3), contents: much(seed / 3 % 3),
		rng: rand.New(rand.NewPCG(seed, 1)), done: map[*node]*node{},
	}
	return on(l.survive(root))
}

// loss is one loss of power.
type loss struct {
	names, contents much
	rng             *rand.Rand
	done            map[*node]*node // a file with two names is one file again
}

// survive copies what is left of n.
func (l *loss) survive(n *node) *node {
	if c, ok := l.done[n]; ok {
		return c
	}
	if !n.dir {
		c := &node{content: l.content(n)}
		c.synced = len(c.content)
		l.done[n] = c
		return c
	}
	c := newDir()
	l.done[n] = c
	all := slices.Sorted(keys(n.durable))
	for name := range n.pending {
		if n.durable[name] == nil {
			all = append(all, name)
		}
	}
	slices.Sort(all) // what chance decides goes in the same order every time
	for _, name := range all {
		if left := l.name(n, name); left != nil {
			c.names[name] = l.survive(left)
			c.durable[name] = c.names[name]
		}
	}
	return c
}

// name is what a name of a directory stands for afterwards.
func (l *loss) name(d *node, name string) *node {
	changes := d.pending[name]
	if len(changes) == 0 || l.names == none {
		return d.durable[name]
	}
	if l.names == all {
		return d.names[name]
	}
	if i := l.rng.IntN(len(changes) + 1); i < len(changes) {
		return changes[i]
	}
	return d.durable[name]
}

// content is what is left of a file's: the synced part, and what there is of the rest.
func (l *loss) content(n *node) []byte {
	loose := span{n.synced, len(n.content)}
	switch size := loose.to - loose.from; l.contents {
	case none:
		loose.to = loose.from + l.rng.IntN(2)*l.rng.IntN(size+1)
	case some:
		loose.to = loose.from + l.rng.IntN(size+1)
	}
	if loose.from == loose.to && len(n.forgotten) == 0 {
		return n.content[:loose.to:loose.to]
	}
	c := slices.Clone(n.content[:loose.to])
	l.tear(c, loose)
	for _, s := range n.forgotten {
		l.tear(c, s)
	}
	return c
}

// tear does to a part of a file that was never made durable what a loss of power does.
func (l *loss) tear(c []byte, part span) {
	for at := part.from; at < part.to; {
		end := min(part.to, (at/block+1)*block)
		switch fate := l.rng.IntN(3); {
		case l.contents == none || l.contents == some && fate == 0:
			clear(c[at:end])
		case l.contents == some && fate == 1:
			for i := at; i < end; i++ {
				c[i] = byte(l.rng.Uint32())
			}
		}
		at = end
	}
}
