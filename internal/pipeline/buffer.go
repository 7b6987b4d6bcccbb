package pipeline

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers come in sizes of a power of two, so that few kinds serve all files.
const (
	minBufferBits = 20 // 1 MiB: most bundles
	maxBufferBits = 23 // 8 MiB: a large file is read in such blocks
	maxBuffer     = 1 << maxBufferBits
)

// buffers lends memory for the contents of files. It keeps what is given back for the next
// use, all in all no more than its limit. The memory is not the collector's: contents would
// make it let the heap grow to twice their size.
type buffers struct {
	mu    sync.Mutex
	idle  [maxBufferBits - minBufferBits + 1][][]byte
	lent  map[*byte][]byte // by the first byte
	bytes int64            // lent and idle
	limit int64
}

// bufferSize is the size of the buffer that is lent for n bytes.
func bufferSize(n int) int {
	return 1 << max(minBufferBits, bits.Len(uint(max(n, 1)-1)))
}

func bufferClass(size int) int { return bits.Len(uint(size)) - 1 - minBufferBits }

func (b *buffers) get(n int) []byte {
	size := bufferSize(n)
	class := bufferClass(size)
	b.mu.Lock()
	defer b.mu.Unlock()
	var buf []byte
	if list := b.idle[class]; len(list) > 0 {
		buf = list[len(list)-1]
		b.idle[class] = list[:len(list)-1]
	} else {
		b.makeRoom(int64(size))
		buf = allocate(size)
		b.bytes += int64(size)
	}
	if b.lent == nil {
		b.lent = make(map[*byte][]byte)
	}
	b.lent[&buf[0]] = buf
	return buf
}

// makeRoom gives idle buffers back to the system until size more bytes stay within the limit.
func (b *buffers) makeRoom(size int64) {
	for class := len(b.idle) - 1; class >= 0; class-- {
		for b.bytes+size > b.limit && len(b.idle[class]) > 0 {
			list := b.idle[class]
			b.drop(list[len(list)-1])
			b.idle[class] = list[:len(list)-1]
		}
	}
}

func (b *buffers) drop(buf []byte) {
	b.bytes -= int64(len(buf))
	giveBack(buf)
}

func (b *buffers) put(buf []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.lent, &buf[0])
	class := bufferClass(len(buf))
	b.idle[class] = append(b.idle[class], buf)
}

// close gives everything back to the system; nobody may use a buffer any more.
func (b *buffers) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, list := range b.idle {
		for _, buf := range list {
			b.drop(buf)
		}
	}
	for _, buf := range b.lent {
		b.drop(buf)
	}
	clear(b.idle[:])
	b.lent = nil
}

// hold is a buffer that several jobs have a part of. The last to release it gives it back.
type hold struct {
	buf   []byte
	users atomic.Int32
}
