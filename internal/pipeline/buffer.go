package pipeline

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers come in sizes of a power of two, so that few kinds serve all files.
const (
	minBufferBits = 18 // 256 KiB
	maxBufferBits = 23 // 8 MiB: a large file is read in such blocks
	maxBuffer     = 1 << maxBufferBits
	// keptBuffers is how many bytes of idle buffers are kept for the next use.
	keptBuffers = 24 << 20
)

// buffers keeps idle buffers.
type buffers struct {
	mu   sync.Mutex
	idle [maxBufferBits - minBufferBits + 1][][]byte
	kept int64
}

// bufferSize is the size of the buffer that is given for n bytes.
func bufferSize(n int) int {
	return 1 << max(minBufferBits, bits.Len(uint(max(n, 1)-1)))
}

func (b *buffers) get(n int) []byte {
	size := bufferSize(n)
	class := bits.Len(uint(size)) - 1 - minBufferBits
	b.mu.Lock()
	defer b.mu.Unlock()
	if list := b.idle[class]; len(list) > 0 {
		buf := list[len(list)-1]
		b.idle[class] = list[:len(list)-1]
		b.kept -= int64(size)
		return buf
	}
	return make([]byte, size)
}

func (b *buffers) put(buf []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept+int64(len(buf)) > keptBuffers {
		return
	}
	b.kept += int64(len(buf))
	class := bits.Len(uint(len(buf))) - 1 - minBufferBits
	b.idle[class] = append(b.idle[class], buf)
}

// hold is a buffer that several jobs have a part of. The last to release it gives it back.
type hold struct {
	buf   []byte
	users atomic.Int32
}
