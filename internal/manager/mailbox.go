package manager

import "sync"

// mailbox is a queue of one reader that never blocks a writer: who posts may hold a lock or
// be the reader itself. It is bounded by what its writers wait for: nodes wait for the
// answer to a report, and a deed under way posts once.
type mailbox[T any] struct {
	mu     sync.Mutex
	items  []T
	closed bool
	// ready holds one signal at most: "there may be something" needs no count.
	ready chan struct{}
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{ready: make(chan struct{}, 1)} }

// post adds an item, and tells whether anybody will read it.
func (b *mailbox[T]) post(v T) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.items = append(b.items, v)
	select {
	case b.ready <- struct{}{}:
	default:
	}
	return true
}

// take empties the mailbox.
func (b *mailbox[T]) take() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	items := b.items
	b.items = nil
	return items
}

// close empties the mailbox and refuses what comes after.
func (b *mailbox[T]) close() []T {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.take()
}
