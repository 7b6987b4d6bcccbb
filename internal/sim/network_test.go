package sim

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"testing/synctest"

	"keepward/internal/errs"
	"keepward/internal/manager"
)

// network holds the calls from the server to nodes. Directly, each is delivered at once;
// otherwise it waits until the seed has it delivered, lost or repeated. A call whose caller has
// given up may still arrive, as on a real network.
type network struct {
	s *site

	mu      sync.Mutex
	direct  bool
	pending []*message
	seq     int
}

// message is one call under way.
type message struct {
	seq     int
	session int64
	to      manager.Node
	what    string
	effect  func() error
	answer  chan error // room for one: who asked may have given up
}

func newNetwork(s *site) *network { return &network{s: s, direct: true} }

// call brings effect about at a node, and answers how it went.
func (w *network) call(ctx context.Context, to manager.Node, session int64, what string, effect func() error) error {
	w.mu.Lock()
	if w.direct {
		w.mu.Unlock()
		return w.s.at(to, effect)
	}
	w.seq++
	m := &message{seq: w.seq, session: session, to: to, what: what, effect: effect, answer: make(chan error, 1)}
	w.pending = append(w.pending, m)
	w.mu.Unlock()
	select {
	case err := <-m.answer:
		return err
	case <-ctx.Done():
		return errs.New(errs.Unavailable, "", "call %s: %w", to, ctx.Err())
	}
}

// at runs an effect at a node that can be reached.
func (s *site) at(to manager.Node, effect func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.nodes[to]; n == nil || !n.online {
		return errs.New(errs.Unavailable, "", "call %s: link lost", to)
	}
	return effect()
}

// list is what is under way, in an order that does not depend on who was scheduled first.
func (w *network) list() []*message {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.Clone(w.pending)
	slices.SortFunc(list, func(a, b *message) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmpNodes(a.to, b.to), cmp.Compare(a.what, b.what), cmp.Compare(a.seq, b.seq))
	})
	return list
}

// fate is what becomes of a message.
type fate int

const (
	delivered fate = iota
	twice
	lost       // it does not arrive
	answerLost // it does, and the server does not learn it
)

func (w *network) deliver(m *message, how fate) {
	w.mu.Lock()
	w.pending = slices.DeleteFunc(w.pending, func(o *message) bool { return o == m })
	w.mu.Unlock()
	gone := errs.New(errs.Unavailable, "", "call %s: link lost", m.to)
	switch how {
	case lost:
		w.s.count.lost++
		m.answer <- gone
	case answerLost:
		w.s.count.lost++
		_ = w.s.at(m.to, m.effect)
		m.answer <- gone
	case twice:
		_ = w.s.at(m.to, m.effect)
		m.answer <- w.s.at(m.to, m.effect)
	default:
		m.answer <- w.s.at(m.to, m.effect)
	}
	synctest.Wait()
}

// forget drops what is under way: who asked is gone.
func (w *network) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = nil
}

// setDirect delivers all that is under way, and from now on at once.
func (w *network) setDirect(on bool) {
	w.mu.Lock()
	w.direct = on
	w.mu.Unlock()
	if on {
		for _, m := range w.list() {
			w.deliver(m, delivered)
		}
	}
}

// busy tells whether a call for a session is under way.
func (w *network) busy(session int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.pending, func(m *message) bool { return m.session == session || m.session == 0 })
}

func cmpNodes(a, b manager.Node) int {
	return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name))
}
