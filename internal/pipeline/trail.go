package pipeline

import (
	"encoding/binary"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Trail is what the attempts of one task have done that no checkpoint kept, so that it can be
// told how much of it is done again. Whoever runs the attempts keeps it between them; one
// attempt uses it at a time. A nil Trail tells nothing.
type Trail struct {
	mu sync.Mutex
	// sent are chunks that were sent since the last checkpoint, settling those before what it
	// waits for, lost those of attempts that have ended.
	sent, settling, lost map[uint64]struct{}
	unread               int64 // bytes that attempts before have read behind their checkpoint
	checkpointed         bool
	readThen             int64 // bytes read at the last checkpoint
	resent, reread       int64 // of all attempts that have ended
}

// maxTrail bounds the chunks that are remembered; 1 GiB in small ones is fewer. What is beyond
// is not counted when it is sent again.
const maxTrail = 1 << 18

// chunkName is enough of a hash to tell the chunks of a task apart.
func chunkName(h *seal.H) uint64 { return binary.LittleEndian.Uint64(h[:8]) }

// begin begins an attempt.
func (t *Trail) begin(c *Counters) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lost = t.unkept()
	t.sent, t.settling = map[uint64]struct{}{}, nil
	t.checkpointed, t.readThen = false, 0
	c.resentBytes.Store(t.resent)
	c.rereadBefore.Store(t.reread)
	c.unread.Store(t.unread)
}

// unkept are the chunks that an end would leave without a checkpoint.
func (t *Trail) unkept() map[uint64]struct{} {
	out := make(map[uint64]struct{}, min(maxTrail, len(t.lost)+len(t.sent)+len(t.settling)))
	for _, set := range []map[uint64]struct{}{t.lost, t.sent, t.settling} {
		for name := range set {
			if len(out) < maxTrail {
				out[name] = struct{}{}
			}
		}
	}
	return out
}

// put notes that a chunk was sent in n bytes, and tells how many of them were for the second
// time.
func (t *Trail) put(h *seal.H, n int64) int64 {
	if t == nil {
		return 0
	}
	name := chunkName(h)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.sent) < maxTrail {
		t.sent[name] = struct{}{}
	}
	if _, again := t.lost[name]; !again {
		return 0
	}
	delete(t.lost, name)
	return n
}

// settle begins a checkpoint: what was sent by now will be kept by it.
func (t *Trail) settle() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settling == nil {
		t.settling = t.sent
	} else { // the one before was not made
		for name := range t.sent {
			t.settling[name] = struct{}{}
		}
	}
	t.sent = map[uint64]struct{}{}
}

// settled ends a checkpoint that was made when so many bytes had been read.
func (t *Trail) settled(read int64) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settling, t.checkpointed, t.readThen = nil, true, read
}

// end ends an attempt that made no point.
func (t *Trail) end(c *Counters) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.resent, t.reread, t.unread = t.totals(c)
}

// totals are what an end would leave.
func (t *Trail) totals(c *Counters) (resent, reread, unread int64) {
	unread = c.readBytes.Load() - t.readThen
	if !t.checkpointed {
		// The next one begins where this one did.
		unread = max(unread, t.unread)
	}
	return c.resentBytes.Load(), c.reread(), unread
}

const trailVersion = 1

// Marshal is what the trail comes to if the attempt with these counters ends at once: a process
// that is killed cannot say so.
func (t *Trail) Marshal(c *Counters) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	resent, reread, unread := t.totals(c)
	names := t.unkept()
	out := make([]byte, 0, 64+8*len(names))
	out = append(out, trailVersion)
	for _, n := range []int64{resent, reread, unread} {
		out = binary.LittleEndian.AppendUint64(out, uint64(n))
	}
	for name := range names {
		out = binary.LittleEndian.AppendUint64(out, name)
	}
	return out
}

// ParseTrail reads a trail back.
func ParseTrail(b []byte) (*Trail, error) {
	const head = 1 + 3*8
	if len(b) < head || b[0] != trailVersion || (len(b)-head)%8 != 0 || (len(b)-head)/8 > maxTrail {
		return nil, errs.New(errs.Corrupt, "", "read trail: it is none")
	}
	t := &Trail{lost: map[uint64]struct{}{}}
	for i, n := range []*int64{&t.resent, &t.reread, &t.unread} {
		if *n = int64(binary.LittleEndian.Uint64(b[1+8*i:])); *n < 0 {
			return nil, errs.New(errs.Corrupt, "", "read trail: a count is below zero")
		}
	}
	for b = b[head:]; len(b) > 0; b = b[8:] {
		t.lost[binary.LittleEndian.Uint64(b)] = struct{}{}
	}
	return t, nil
}
