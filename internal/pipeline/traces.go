package pipeline

import "keepward/internal/source"

// traces remembers which parts of a file the system held in memory before it was read, and
// has it forget the others once they are read: a backup reads everything once, and what
// others need would have to make room for it.
type traces struct {
	f     source.File
	size  int64
	block int64
	held  []bool // by block; nil: nothing is to be forgotten
	done  int64  // up to here is decided
}

const (
	// traceBlock is looked at as a whole. Files of over maxTraces blocks have larger ones.
	traceBlock = 1 << 20
	maxTraces  = 4096
)

// found looks at a file before it is read.
func found(f source.File, size int64) traces {
	t := traces{f: f, size: size, block: max(traceBlock, (size+maxTraces-1)/maxTraces)}
	if size == 0 {
		return t
	}
	held := make([]bool, 0, (size+t.block-1)/t.block)
	some := false
	for at := int64(0); at < size; at += t.block {
		cached, ok := f.Cached(at, min(t.block, size-at))
		if !ok {
			return t
		}
		held = append(held, cached)
		some = some || !cached
	}
	if some {
		t.held = held
	}
	return t
}

// passed forgets what lies wholly before at and was not held.
func (t *traces) passed(at int64) {
	for t.held != nil && t.done < t.size && min(t.done+t.block, t.size) <= at {
		end := min(t.done+t.block, t.size)
		if !t.held[t.done/t.block] {
			t.f.Forget(t.done, end-t.done)
		}
		t.done = end
	}
}

// readAt reads for a large file; the worker reads one at a time.
func (w *worker) readAt(f source.File, p []byte, offset int64) (int, error) {
	defer w.seat.during(atSource)()
	w.traces.passed(offset)
	return f.ReadAt(p, offset)
}

// warmth tells for the files of a unit whether they have to be looked at before they are
// read. What is neighbours on the disk is mostly in memory together, so when the first was,
// the others are taken to be: a look at each would cost more than opening it.
type warmth uint8

const (
	unknownWarmth warmth = iota
	warm
	cold
)

// forget answers whether a small file is to be forgotten after it is read.
func (t *warmth) forget(f source.File, size int64) bool {
	if *t == warm || size == 0 {
		return false
	}
	cached, ok := f.Cached(0, size)
	if cached || !ok {
		if *t == unknownWarmth {
			*t = warm
		}
		return false
	}
	*t = cold
	return true
}
