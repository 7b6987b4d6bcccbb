package server

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"keepward/internal/errs"
)

const (
	// So many wrong passwords in a row are somebody who has forgotten which; an address may stand
	// for a whole office.
	freeTriesOfUser    = 5
	freeTriesOfAddress = 20
	// Behind these each try waits twice as long as the one before.
	firstWait = time.Second
	longWait  = time.Minute
	// Who was quiet for so long begins anew.
	triesForgotten = 15 * time.Minute
	// triesKept bounds the memory: a guesser may make up names as he likes.
	triesKept    = 10_000
	triesSampled = 20
)

// throttle makes guessing passwords slow: who is wrong too often, as a user or from an address,
// has to wait before the next try is looked at. Users that do not exist are counted as the others
// are, so that waiting tells nothing. It keeps nothing over a restart and is safe for concurrent use.
type throttle struct {
	now func() time.Time

	mu    sync.Mutex
	tries map[string]*tries
}

// tries are wrong passwords in a row.
type tries struct {
	count int
	last  time.Time
	until time.Time // before it no try is looked at
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, tries: map[string]*tries{}}
}

// try is one try of a user from an address; an empty name is a try of nobody yet, which counts for the
// address alone. Until it is known to be right it counts as a wrong
// one, so that many at once are no way round the wait.
func (t *throttle) try(user, peer string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	byAddress := addressKey(peer)
	until := t.waiting(byAddress, now)
	if other := t.waiting("user "+user, now); user != "" && other.After(until) {
		until = other
	}
	if wait := until.Sub(now); wait > 0 {
		seconds := int64((wait + time.Second - 1) / time.Second)
		as := ""
		if user != "" {
			as = fmt.Sprintf(" as %q", user)
		}
		return errs.New(errs.Denied, "access.throttled", "log in%s: there were too many wrong passwords or codes; try again in %d s", as, seconds).
			WithHint("tokens that were given out, such as that in the server's client.yaml, work meanwhile")
	}
	if user != "" {
		t.count("user "+user, freeTriesOfUser, now)
	}
	t.count(byAddress, freeTriesOfAddress, now)
	return nil
}

// right takes back what a try counted that was right after all.
func (t *throttle) right(user, peer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tries, "user "+user)
	// The address is not cleared: who knows one password may be guessing another.
	if e := t.tries[addressKey(peer)]; e != nil {
		e.count, e.until = e.count-1, time.Time{}
	}
}

// undo takes back what a try counted that turned out to be neither right nor wrong, or right for
// something less than a login. Those before it still count.
func (t *throttle) undo(user, peer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range []string{"user " + user, addressKey(peer)} {
		if e := t.tries[key]; e != nil && e.count > 0 {
			e.count, e.until = e.count-1, time.Time{}
		}
	}
}

func (t *throttle) waiting(key string, now time.Time) time.Time {
	e := t.tries[key]
	if e == nil || now.Sub(e.last) > triesForgotten {
		return time.Time{}
	}
	return e.until
}

func (t *throttle) count(key string, free int, now time.Time) {
	e := t.tries[key]
	if e == nil || now.Sub(e.last) > triesForgotten {
		if e == nil {
			t.makeRoom()
		}
		e = &tries{}
		t.tries[key] = e
	}
	e.count, e.last = e.count+1, now
	if over := e.count - free; over >= 0 {
		e.until = now.Add(min(firstWait<<min(over, 10), longWait))
	}
}

// makeRoom forgets, of a few that it happens upon, who was quiet longest: to look at all would
// make each try dear while somebody fills the list.
func (t *throttle) makeRoom() {
	if len(t.tries) < triesKept {
		return
	}
	oldest, seen := "", 0
	for key, e := range t.tries {
		if oldest == "" || e.last.Before(t.tries[oldest].last) {
			oldest = key
		}
		if seen++; seen == triesSampled {
			break
		}
	}
	delete(t.tries, oldest)
}

// addressKey is an address without its port; of IPv6 the network, since its hosts are free to
// choose the rest.
func addressKey(peer string) string {
	a, err := netip.ParseAddrPort(peer)
	if err != nil {
		return "peer " + peer
	}
	ip := a.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, err := ip.Prefix(bits)
	if err != nil {
		return fmt.Sprint("peer ", ip)
	}
	return "peer " + network.String()
}
