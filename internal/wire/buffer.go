package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// buffer is memory for one payload. It has one owner at a time, who hands it on or frees it;
// one that only is read may have more, who each free it.
type buffer struct {
	b     []byte
	class int
	more  atomic.Int32 // owners beyond the first
}

// hold makes one more owner.
func (b *buffer) hold() { b.more.Add(1) }

// Buffers come in powers of two from 4 KiB on, so that a record of any size finds one that
// is at most twice as large.
const (
	smallestBuffer = 12
	bufferClasses  = 13 // up to 16 MiB, above the longest record
)

var buffers [bufferClasses]sync.Pool

func newBuffer(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1))-smallestBuffer, 0)
	if class >= bufferClasses {
		return &buffer{b: make([]byte, n), class: -1}
	}
	if v := buffers[class].Get(); v != nil {
		buf := v.(*buffer)
		buf.b = buf.b[:n]
		return buf
	}
	return &buffer{b: make([]byte, n, 1<<(class+smallestBuffer)), class: class}
}

func (b *buffer) free() {
	if b == nil || b.more.Add(-1) >= 0 {
		return
	}
	b.more.Store(0)
	if b.class >= 0 {
		buffers[b.class].Put(b)
	}
}
