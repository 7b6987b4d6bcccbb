package wire

import "sync"

// queue is first in, first out, without a bound of its own: what goes in is bounded by the
// protocol. Its memory is reused once it runs empty.
type queue[T any] struct {
	mu     sync.Mutex
	filled *sync.Cond
	items  []T
	head   int
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.filled = sync.NewCond(&q.mu)
	return q
}

// push adds an item; on a closed queue it answers false.
func (q *queue[T]) push(item T) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.items = append(q.items, item)
	q.filled.Signal()
	return true
}

// pop waits for an item; false: the queue was closed.
func (q *queue[T]) pop() (item T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.head == len(q.items) {
		if q.closed {
			return item, false
		}
		q.filled.Wait()
	}
	if q.closed {
		return item, false
	}
	var zero T
	item, q.items[q.head] = q.items[q.head], zero
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return item, true
}

// close wakes all that wait; what is still in the queue is given up.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.filled.Broadcast()
}
