package manager

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

func TestWhatIsWaitedForComesFirst(t *testing.T) {
	l := newLine()
	a, b, c := &session{}, &session{}, &session{}
	l.add(a, usual)
	l.add(b, usual)
	l.add(c, urgent)
	l.add(b, urgent)
	for i, want := range []struct {
		s  *session
		at place
	}{{c, urgent}, {b, urgent}, {a, usual}, {b, usual}, {nil, usual}} {
		if s, at := l.next(); s != want.s || at != want.at {
			t.Errorf("number %d stood in %d", i, at)
		}
	}
}

func TestAnInboxIsLinedUpOnceInEachList(t *testing.T) {
	var b inbox
	slow, soon := letter{ev: evTick{}}, letter{ev: evGrantNote{}}
	post := func(l letter, want place) {
		t.Helper()
		if took, at := b.post(l); !took || at != want {
			t.Errorf("posted: %v, %d, want %d", took, at, want)
		}
	}
	begin := func(at place, want int) {
		t.Helper()
		if got := len(b.begin(at)); got != want {
			t.Errorf("%d letters, want %d", got, want)
		}
	}
	rest := func(want place) {
		t.Helper()
		if at := b.rest(); at != want {
			t.Errorf("lined up in %d, want %d", at, want)
		}
	}
	post(slow, usual)
	post(slow, nowhere)
	post(soon, urgent)
	post(soon, nowhere)
	begin(urgent, 4)
	post(slow, nowhere) // who works looks again
	begin(usual, 0)     // another worker finds it at its first place
	rest(usual)
	begin(usual, 1)
	post(soon, nowhere)
	rest(urgent)
	begin(urgent, 1)
	rest(nowhere)
	post(slow, usual)
	if left := b.close(); len(left) != 1 {
		t.Errorf("%d letters are left", len(left))
	}
	if took, _ := b.post(slow); took {
		t.Error("a closed inbox took a letter")
	}
}

func TestEveryLetterIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Deps{})
		ctx, cancel := context.WithCancel(t.Context())
		var work sync.WaitGroup
		for range workers {
			work.Go(func() { _ = m.work(ctx) })
		}
		var ask sync.WaitGroup
		for range 20 {
			s := &session{m: m, row: catalog.Session{Status: job.Queued}}
			for i := range 50 {
				ask.Go(func() {
					s.post("", evTick{})
					if took, err := s.ask(ctx, "", evTick{}); !took || err != nil {
						t.Errorf("letter %d: %v, %v", i, took, err)
					}
				})
			}
		}
		ask.Wait()
		cancel()
		work.Wait()
	})
}

func TestSessionsThatWaitHaveNoGoroutine(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.run()
		before := runtime.NumGoroutine()
		for range 200 {
			w.run()
		}
		if grown := runtime.NumGoroutine() - before; grown > 5 {
			t.Errorf("200 sessions have %d goroutines", grown)
		}
	})
}

func TestAServerThatEndsAnswersWhoWaits(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		s := w.m.liveSession(id)
		w.kill()
		took, err := s.ask(t.Context(), "", evTick{})
		if took || err != nil {
			t.Errorf("it took a letter when nobody works any more: %v", err)
		}
		if err := w.m.tell(t.Context(), id, w.session(id).GetTasks()[0].GetId(), evTick{}); !errors.Is(err, errClosed) {
			t.Errorf("a node was answered %v", err)
		}
		w.start()
	})
}

// What waits is found again as it was left. That its nodes connect one after the other is shown,
// and is no news for the log: there may be a hundred thousand of them.
func TestWhatWaitsIsNotWrittenAgainAfterAStart(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		running, waiting := w.verify(), w.verify()
		w.expect(waiting, job.Waiting, job.StreamsShort)
		before := w.log(waiting)
		w.reopen()
		w.expect(waiting, job.Waiting, job.TransportOffline)
		w.transportUp()
		w.expect(running, job.Running, "")
		w.expect(waiting, job.Waiting, job.StreamsShort)
		if after := w.log(waiting); after != before {
			t.Errorf("the log was\n%sand is\n%s", before, after)
		}
		w.killSession(running, "")
		w.pass(10 * time.Minute)
		w.expect(waiting, job.Running, "")
	})
}
