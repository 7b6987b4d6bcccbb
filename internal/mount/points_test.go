package mount

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

func TestPointsOfOneSecondHaveNamesOfTheirOwn(t *testing.T) {
	at := time.Date(2026, 11, 22, 22, 0, 0, 5, time.UTC)
	p := newPoints(t.Context(), Options{Zone: time.FixedZone("", 3600)})
	defer p.close()
	p.readers["main"] = &reader{}
	for i, c := range []struct{ id, want string }{
		{"0123456789abcdef", "2026-11-22T23-00-00"},
		{"0123456fff", "2026-11-22T23-00-00_012345"},
		{"0123456789000000", "2026-11-22T23-00-00_0123456"},
	} {
		must2(t, p.add(t.Context(), Point{ID: c.id, Repository: "main", Time: at}))
		if got := p.all[i].name; got != c.want {
			t.Errorf("point %s is called %s, not %s", c.id, got, c.want)
		}
	}
	if got := p.latest(); got != p.all[2] {
		t.Errorf("the latest is %v", got)
	}
	p.all[2].gone.Store(true)
	p.all[1].point.Partial = true
	if got := p.latest(); got != p.all[0] {
		t.Errorf("without the deleted and the partial the latest is %v", got.name)
	}
}

func must2(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnOutageIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		o := &outage{patience: defaultPatience, tell: func(s string) { told = append(told, s) }}
		away := errs.New(errs.Unavailable, "server.unreachable", "nobody is there")
		began := time.Now()
		try := func(fn func() error) (time.Duration, error) {
			began = time.Now()
			err := o.try(t.Context(), func(context.Context) error { return fn() })
			return time.Since(began), err
		}
		if took, err := try(func() error {
			if time.Since(began) < 5*time.Second {
				return away
			}
			return nil
		}); err != nil || took > 10*time.Second || len(told) > 0 {
			t.Errorf("an outage of 5 s: %v after %s, and it said %q", err, took, told)
		}
		if took, err := try(func() error { return away }); !errors.Is(err, away) || took > defaultPatience || took < defaultPatience/2 {
			t.Errorf("a long outage: %v after %s", err, took)
		}
		if took, err := try(func() error { return away }); !errors.Is(err, away) || took > 0 {
			t.Errorf("an outage that is known: %v after %s", err, took)
		}
		if took, err := try(func() error { return nil }); err != nil || took > 0 || len(told) != 2 {
			t.Errorf("at its end: %v after %s, and it said %q", err, took, told)
		}
		// What a store says for good is not asked again.
		for _, err := range []error{errs.New(errs.NotFound, "point.deleted", "gone"), errs.New(errs.Corrupt, "chunk.damaged", "bad")} {
			n := 0
			if took, got := try(func() error { n++; return err }); !errors.Is(got, err) || took > 0 || n != 1 {
				t.Errorf("%v: asked %d times, %v after %s", err, n, got, took)
			}
		}
		// A store that does not answer is one that is away.
		took, err := time.Duration(0), error(nil)
		began = time.Now()
		err = o.try(t.Context(), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		if took = time.Since(began); errs.KindOf(err) != errs.Unavailable || took > storeTimeout+defaultPatience {
			t.Errorf("a store that hangs: %v after %s", err, took)
		}
	})
}

func TestACacheKeepsWhatWasUsedLast(t *testing.T) {
	c := newCache(100)
	fill := func(n byte, size int) {
		slots, mine := c.want("p", []chunk{{seal.KindData, seal.H{n}}})
		if len(mine) != 1 || slots[0] != mine[0] {
			t.Fatalf("chunk %d is there already", n)
		}
		if _, again := c.want("p", []chunk{{seal.KindData, seal.H{n}}}); len(again) != 0 {
			t.Fatalf("chunk %d would be fetched twice", n)
		}
		c.fill(mine[0], make([]byte, size), seal.Bundle{}, nil)
	}
	fill(1, 40)
	fill(2, 40)
	c.want("p", []chunk{{seal.KindData, seal.H{1}}}) // it is used again
	fill(3, 40)
	for n, want := range map[byte]bool{1: true, 2: false, 3: true} {
		if got := c.has(seal.H{n}); got != want {
			t.Errorf("chunk %d is there: %t", n, got)
		}
	}
	fill(4, 1000) // more than all, and yet somebody needs it
	if !c.has(seal.H{4}) || c.order.Len() != 1 {
		t.Errorf("of a chunk larger than the cache: %t, %d chunks", c.has(seal.H{4}), c.order.Len())
	}
	_, mine := c.want("p", []chunk{{seal.KindData, seal.H{5}}})
	c.fill(mine[0], nil, seal.Bundle{}, errors.New("no"))
	if c.has(seal.H{5}) {
		t.Error("a chunk that could not be fetched is not asked for again")
	}
}
