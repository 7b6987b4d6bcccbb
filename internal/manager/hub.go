package manager

import "sync"

// hub tells who watches a session that it has changed. It carries no content: a watcher reads
// the newest state when it gets round to it, so a slow one misses steps, never the last.
type hub struct {
	mu       sync.Mutex
	watchers map[int64]map[chan struct{}]struct{}
	changes  int64 // so far, of any session
}

func newHub() *hub { return &hub{watchers: map[int64]map[chan struct{}]struct{}{}} }

// allSessions is watched by who wants to hear of every session: no session has that number.
const allSessions = 0

// watch answers a channel that gets a signal after every change, and how to end it.
func (h *hub) watch(session int64) (<-chan struct{}, func()) {
	c := make(chan struct{}, 1) // one signal stands for any number of changes
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers[session] == nil {
		h.watchers[session] = map[chan struct{}]struct{}{}
	}
	h.watchers[session][c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers[session], c)
		if len(h.watchers[session]) == 0 {
			delete(h.watchers, session)
		}
	}
}

func (h *hub) changed(session int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
	for _, id := range [...]int64{session, allSessions} {
		for c := range h.watchers[id] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// since tells whether no session has changed since a count of changes, and the count now.
func (h *hub) since(count int64) (same bool, now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changes == count, h.changes
}
