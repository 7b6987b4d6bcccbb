package gentle

import "testing"

// Only the thread of the one who asks steps back; no other goroutine gets it.
func TestOneThreadStepsBackAlone(t *testing.T) {
	base, err := now()
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		at  level
		err error
	}
	done := make(chan seen)
	go func() {
		Thread()
		at, err := now()
		done <- seen{at, err}
	}()
	s := <-done
	if s.err != nil || s.at != (level{nice: lastNice, io: idleIO}) {
		t.Errorf("it has %+v, %v", s.at, s.err)
	}
	for range 100 { // other goroutines, on whatever threads
		go func() {
			at, err := now()
			done <- seen{at, err}
		}()
		if s := <-done; s.err != nil || s.at != base {
			t.Errorf("another one has %+v, %v", s.at, s.err)
		}
	}
}
