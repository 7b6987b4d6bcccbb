package pipeline

import (
	"testing"

	"keepward/internal/repo/seal"
)

// A store makes a checkpoint only if all is there that it has records of which refer to. So what
// refers to others is not sent between a checkpoint's flush and its end: what it refers to may be on
// its way.
func TestWhatRefersToOthersWaitsWhileACheckpointIsMade(t *testing.T) {
	for _, blind := range []bool{false, true} {
		p := newPool(nil, &Counters{}, 1)
		p.blind = blind
		offer := func(n byte, refs ...seal.H) {
			p.offer(&job{h: seal.H{n}, refs: refs})
			if !blind { // the store has none of them
				jobs := p.asking
				p.asking = nil
				p.answered(jobs, make([]bool, len(jobs)))
			}
		}
		next := func(want byte) {
			t.Helper()
			j := p.nextSealing()
			if got := byte(0); j != nil {
				got = j.h[0]
				p.done(j)
				if got != want {
					t.Errorf("%d is sent, want %d", got, want)
				}
			} else if want != 0 {
				t.Errorf("nothing is sent, want %d", want)
			}
		}
		offer(1)
		offer(2, seal.H{1})
		next(1)
		next(2)
		if err := p.flush(); err != nil {
			t.Fatal(err)
		}
		offer(3)
		offer(4, seal.H{3})
		offer(5)
		next(3)
		next(5)
		next(0)
		p.letGo()
		next(4)
		offer(6, seal.H{3})
		next(6)
	}
}
