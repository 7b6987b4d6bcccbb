package rate

import (
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// moved is how many bytes go through in a time.
func moved(l *Limit, step int, d time.Duration) int64 {
	from, _ := l.Moved()
	for end := time.Now().Add(d); time.Now().Before(end); {
		l.Wait(nil, step)
	}
	to, _ := l.Moved()
	return to - from
}

func near(t *testing.T, what string, got, want int64, percent int64) {
	t.Helper()
	if got < want-want*percent/100 || got > want+want*percent/100 {
		t.Errorf("%s: %d bytes, want %d within %d%%", what, got, want, percent)
	}
}

func TestAStreamIsHeldToItsRate(t *testing.T) {
	for _, step := range []int{100, 16 << 10, 128 << 10} {
		synctest.Test(t, func(t *testing.T) {
			var l Limit
			l.Set(1_000_000)
			near(t, "ten seconds", moved(&l, step, 10*time.Second), 10_000_000, 3)
			time.Sleep(time.Minute)
			near(t, "ten seconds after a pause", moved(&l, step, 10*time.Second), 10_000_000, 3)
			if _, held := l.Moved(); held < 19*time.Second {
				t.Errorf("it was held up for %s, want about 20s", held)
			}
		})
	}
}

func TestANewRateHoldsForWhoWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limit
		l.Set(Least)
		l.Wait(nil, 100*Least) // a debt of 100 seconds
		began := time.Now()
		time.AfterFunc(time.Second, func() { l.Set(100 * Least) })
		l.Wait(nil, 1)
		if d := time.Since(began); d < time.Second || d > 3*time.Second {
			t.Errorf("it waited for %s, want about 2s", d)
		}
		l.Wait(nil, 1000*Least)
		began = time.Now()
		time.AfterFunc(time.Second, func() { l.Set(0) })
		l.Wait(nil, 1)
		if d := time.Since(began); d != time.Second {
			t.Errorf("without a bound it waited for %s, want 1s", d)
		}
	})
}

// A slice of a fast rate is no debt of a slow one: the other end must hear something in time.
func TestALowerRateDoesNotMakeADebtLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limit
		l.Set(100 << 20)
		for range 10 {
			l.Wait(nil, l.Slice(1<<20))
		}
		l.Set(Least)
		began := time.Now()
		l.Wait(nil, 1)
		if d := time.Since(began); d > time.Second {
			t.Errorf("behind a slice of the rate before it waited for %s", d)
		}
		near(t, "from then on", moved(&l, 128, 30*time.Second), 30*Least, 5)
	})
}

func TestSeveralShareALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limit
		l.Set(1_000_000)
		var own sync.WaitGroup
		for range 4 {
			own.Go(func() { moved(&l, 10_000, 10*time.Second) })
		}
		own.Wait()
		n, _ := l.Moved()
		near(t, "four in ten seconds", n, 10_000_000, 3)
	})
}

func TestAWaitEndsWithItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer func() { _ = b.Close() }()
		go func() { _, _ = io.Copy(io.Discard, b) }()
		var l Limit
		l.Set(Least)
		c := Conn(a, &l)
		time.AfterFunc(5*time.Second, func() { _ = c.Close() })
		began := time.Now()
		n, err := c.Write(make([]byte, 1000*Least))
		if err == nil || n > 7*Least || time.Since(began) > 6*time.Second {
			t.Errorf("after its close it wrote %d bytes in %s (%v)", n, time.Since(began), err)
		}
	})
}

func TestRatesAreRead(t *testing.T) {
	for text, want := range map[string]int64{
		"40Mbit/s": 5_000_000, "5 MB/s": 5_000_000, "5MiB/s": 5 << 20, "1.5gbit/s": 187_500_000, "64kbit/s": 8000, "8kB/s": 8000,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q is read as %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "40", "Mbit/s", "-1MB/s", "40Mbit", "1kbit/s", "NaNMB/s", "InfMB/s", "1e30GB/s", "4O Mbit/s"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q is read as %d, want a refusal", text, got)
		}
	}
}

func TestRatesAreWrittenAsTheNetworkCounts(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0bit/s", 5_000_000: "40Mbit/s", 2_500_001: "20Mbit/s", 8000: "64kbit/s", 187_500_000: "1.5Gbit/s", 100: "800bit/s"} {
		if got := Format(bytes); got != want {
			t.Errorf("%d is written as %s, want %s", bytes, got, want)
		}
	}
}
