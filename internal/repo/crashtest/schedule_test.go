package crashtest

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing/synctest"

	"keepward/internal/storage/vfs/memfs"
)

// scheduler lets several actors, each a process, work on one disk, one call at a time, in an
// order that a seed decides. It lives in a synctest bubble: when all goroutines wait, it lets
// one call go on.
type scheduler struct {
	rng *rand.Rand

	mu      sync.Mutex
	waiting []*call
	steps   int
	last    *actor
	calls   maphash.Hash // of all calls that were let go on
}

// actor is a process that does one thing.
type actor struct {
	name string
	fs   *memfs.FS
	// Set by the scheduler and by its goroutine, read when all wait.
	killed, ended bool
}

// call is one that waits to be let go on.
type call struct {
	actor    *actor
	op       memfs.Op
	name     string
	released chan struct{}
}

// start begins an actor. Its goroutine ends by itself, or when its process is killed.
func (s *scheduler) start(a *actor, do func()) {
	gate := func(op memfs.Op, name string) error {
		if op == memfs.Read {
			return nil // objects do not change, so when they are read does not matter
		}
		c := &call{a, op, name, make(chan struct{})}
		s.mu.Lock()
		s.waiting = append(s.waiting, c)
		s.mu.Unlock()
		<-c.released
		return nil
	}
	a.fs.SetHook(gate)
	a.fs.SetReadHook(gate)
	go func() {
		defer func() { a.ended = true }()
		do()
	}()
}

// step lets one call go on and waits until all wait again. It answers whether there was one.
func (s *scheduler) step() bool {
	synctest.Wait()
	s.mu.Lock()
	if len(s.waiting) == 0 {
		s.mu.Unlock()
		return false
	}
	slices.SortStableFunc(s.waiting, func(a, b *call) int {
		return cmp.Or(strings.Compare(a.actor.name, b.actor.name), strings.Compare(string(a.op), string(b.op)), strings.Compare(steady(a.name), steady(b.name)))
	})
	at := s.rng.IntN(len(s.waiting))
	// Half of the time whoever was at work goes on, so that some get far.
	if s.last != nil && s.rng.IntN(2) == 0 {
		if i := slices.IndexFunc(s.waiting, func(c *call) bool { return c.actor == s.last }); i >= 0 {
			at = i
		}
	}
	c := s.waiting[at]
	s.waiting = slices.Delete(s.waiting, at, at+1)
	s.last = c.actor
	s.steps++
	_, _ = fmt.Fprintln(&s.calls, c.actor.name, c.op, steady(c.name)) // a hash takes all
	s.mu.Unlock()
	close(c.released)
	synctest.Wait()
	return true
}

// kill ends an actor's process, and waits until its goroutines have ended.
func (s *scheduler) kill(a *actor) {
	a.killed = true
	a.fs.Kill()
	synctest.Wait()
	s.mu.Lock()
	s.waiting = slices.DeleteFunc(s.waiting, func(c *call) bool {
		if c.actor != a {
			return false
		}
		close(c.released)
		return true
	})
	s.mu.Unlock()
	synctest.Wait()
}

// steady is a file's name without what is different every time.
func steady(name string) string {
	if i := strings.Index(name, "/tmp/"); i >= 0 {
		return name[:i] + "/tmp/*"
	}
	return name
}
