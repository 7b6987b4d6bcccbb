package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/rate"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

func TestASessionCarriesEveryRequest(t *testing.T) {
	records := map[seal.ID][]byte{}
	var ids []seal.ID
	for i := range 3000 {
		id := seal.ID(sha256.Sum256(fmt.Append(nil, i)))
		ids = append(ids, id)
		records[id] = randomBytes(100 + i%700*50)
	}
	m := &memory{records: records, points: map[string][]byte{"p1": []byte("a point")}}
	s := newSite(t, m, nil)
	c := s.dial(nil)
	ctx := t.Context()

	hs := make([]seal.H, MaxHave)
	want := make([]bool, len(hs))
	for i := range hs {
		hs[i][0] = byte(i)
		want[i] = byte(i)%3 == 0
	}
	got, err := c.Have(ctx, hs)
	if err != nil || !cmp.Equal(want, got) {
		t.Fatalf("have: %v, equal %v", err, cmp.Equal(want, got))
	}
	var puts [][]byte
	for i := range 200 {
		puts = append(puts, randomBytes(1+i*4000))
	}
	puts = append(puts, randomBytes(seal.MaxRecord))
	for _, p := range puts {
		scratch := bytes.Clone(p)
		if err := c.Put(ctx, scratch); err != nil {
			t.Fatal(err)
		}
		clear(scratch) // may be reused after Put returns
	}
	draft := point.Draft{Type: point.Checkpoint, RootID: ids[0], Refs: ids[1:4], Body: []byte("sealed")}
	if err := c.Checkpoint(ctx, draft); err != nil {
		t.Fatal(err)
	}
	if got := c.Durable(); got != uint64(len(puts)) {
		t.Errorf("durable puts: %d, want %d", got, len(puts))
	}
	if !slices.EqualFunc(puts, m.puts, bytes.Equal) {
		t.Error("puts differ")
	}
	fetched := map[int][]byte{}
	err = c.Get(ctx, ids, func(i int, rec []byte) error {
		fetched[i] = bytes.Clone(rec)
		return nil
	})
	if err != nil || len(fetched) != len(ids) {
		t.Fatalf("get: %v, %d of %d", err, len(fetched), len(ids))
	}
	for i, id := range ids {
		if !bytes.Equal(fetched[i], records[id]) {
			t.Fatalf("record %d differs", i)
		}
	}
	if b, err := c.Point(ctx, "p1"); err != nil || string(b) != "a point" {
		t.Errorf("point: %q, %v", b, err)
	}
	if _, err := c.Point(ctx, "p2"); errs.KindOf(err) != errs.Denied || errs.CodeOf(err) != "point.not-readable" {
		t.Errorf("point of another computer: %v", err)
	}
	draft.Type = point.Complete
	if err := c.Commit(ctx, draft); err != nil {
		t.Fatal(err)
	}
	checkpoint := draft
	checkpoint.Type = point.Checkpoint
	if diff := cmp.Diff([]point.Draft{checkpoint, draft}, m.drafts); diff != "" {
		t.Error(diff)
	}
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-s.result; err != nil {
		t.Errorf("session: %v", err)
	}
}

func TestAMissingRecordKeepsNoOtherBack(t *testing.T) {
	m := &memory{records: map[seal.ID][]byte{}}
	var ids []seal.ID
	for i := range 100 {
		id := seal.ID(sha256.Sum256(fmt.Append(nil, i)))
		ids = append(ids, id)
		if i != 57 {
			m.records[id] = randomBytes(1000)
		}
	}
	s := newSite(t, m, nil)
	c := s.dial(nil)
	n := 0
	err := c.Get(t.Context(), ids, func(int, []byte) error { n++; return nil })
	if errs.KindOf(err) != errs.NotFound || !bytes.Contains([]byte(err.Error()), []byte(ids[57].String())) {
		t.Errorf("error does not name the missing chunk: %v", err)
	}
	if n != 99 {
		t.Errorf("%d of 99 records arrived", n)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestPutsStopAtTheCreditAndGoOn(t *testing.T) {
	m := &memory{gate: make(chan struct{})}
	s := newSite(t, m, nil)
	c := s.dial(nil)
	rec := randomBytes(1 << 20)
	put := make(chan error, 64)
	var own sync.WaitGroup
	own.Go(func() {
		for range 40 {
			put <- c.Put(t.Context(), rec)
		}
	})
	for range dataCredit >> 20 {
		if err := <-put; err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.acquire(ctx, c.credit, 1); err == nil {
		t.Error("a put went out beyond the credit")
	}
	// What has no credit must not keep other requests back.
	if _, err := c.Have(t.Context(), make([]seal.H, 1)); err != nil {
		t.Error(err)
	}
	close(m.gate)
	own.Wait()
	if err := c.Checkpoint(t.Context(), point.Draft{Type: point.Checkpoint}); err != nil {
		t.Error(err)
	}
	if got := m.count(); got != 40 {
		t.Errorf("%d of 40 puts arrived", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestASlowReaderHoldsNothingElseUp(t *testing.T) {
	id := seal.ID{1}
	m := &memory{records: map[seal.ID][]byte{id: randomBytes(1 << 20)}}
	s := newSite(t, m, func(c *DataServerConfig) {
		c.timing = timing{ping: 20 * time.Millisecond, dead: time.Second}
	})
	c := s.dial(func(c *DialConfig) { c.timing = timing{ping: 20 * time.Millisecond, dead: time.Second} })
	ids := make([]seal.ID, 100) // 100 MiB: three windows
	for i := range ids {
		ids[i] = id
	}
	n := 0
	err := c.Get(t.Context(), ids, func(int, []byte) error {
		if n == 0 {
			// Far longer than a silent connection lives.
			for range 10 {
				if _, err := c.Have(t.Context(), make([]seal.H, 8)); err != nil {
					return err
				}
				select {
				case <-t.Context().Done():
				case <-time.After(350 * time.Millisecond):
				}
			}
		}
		n++
		return nil
	})
	if err != nil || n != 100 {
		t.Errorf("get: %v, %d of 100", err, n)
	}
	if len(s.arrived) != 1 {
		t.Errorf("%d connections were made, want 1", len(s.arrived))
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFailedPutTellsItsReasonWhateverIsInFlight(t *testing.T) {
	m := &memory{gate: make(chan struct{}, 1), putErr: errs.New(errs.NoSpace, "storage.full", "write pack: no space left").WithHint("make room")}
	s := newSite(t, m, nil)
	c := s.dial(nil)
	rec := randomBytes(1 << 20)
	var err error
	for i := 0; err == nil; i++ {
		if i == 20 {
			m.gate <- struct{}{}
		}
		err = c.Put(t.Context(), rec)
	}
	if errs.KindOf(err) != errs.NoSpace || errs.CodeOf(err) != "storage.full" || errs.HintOf(err) != "make room" {
		t.Errorf("put: %v (kind %s, code %s)", err, errs.KindOf(err), errs.CodeOf(err))
	}
	if err := <-s.result; errs.KindOf(err) != errs.NoSpace {
		t.Errorf("session: %v", err)
	}
	if _, err := c.Have(t.Context(), make([]seal.H, 1)); errs.KindOf(err) != errs.NoSpace {
		t.Errorf("have afterwards: %v", err)
	}
	if err := c.Close(); errs.KindOf(err) != errs.NoSpace {
		t.Errorf("close: %v", err)
	}
}

func TestAnAgentThatGivesUpSaysWhy(t *testing.T) {
	s := newSite(t, &memory{}, nil)
	c := s.dial(nil)
	c.Abort(errs.New(errs.NotFound, "include.missing", "include paths are gone"))
	err := <-s.result
	var abort *AbortError
	if !errors.As(err, &abort) || errs.KindOf(err) != errs.NotFound || errs.CodeOf(err) != "include.missing" {
		t.Errorf("session: %v", err)
	}
}

func TestAStoppedMoverTellsItsAgentWhy(t *testing.T) {
	s := newSite(t, &memory{}, nil)
	c := s.dial(nil)
	s.server.Stop(errs.New(errs.Cancelled, "mover.stopped", "killed by admin"))
	<-c.done.Done()
	if err := c.Put(t.Context(), []byte("x")); errs.CodeOf(err) != "mover.stopped" {
		t.Errorf("put: %v", err)
	}
	_ = c.Close()
}

func TestAnAgentThatStaysAwayIsLost(t *testing.T) {
	s := newSite(t, &memory{}, func(c *DataServerConfig) { c.Wait = 50 * time.Millisecond })
	if err := <-s.result; errs.KindOf(err) != errs.Unavailable || errs.CodeOf(err) != "agent.lost" {
		t.Errorf("session: %v", err)
	}
}

func TestALostConnectionLosesAndDoublesNothing(t *testing.T) {
	m := &memory{records: map[seal.ID][]byte{}}
	var ids []seal.ID
	for i := range 200 {
		id := seal.ID(sha256.Sum256(fmt.Append(nil, i)))
		ids = append(ids, id)
		m.records[id] = randomBytes(30_000)
	}
	s := newSite(t, m, nil)
	r := newRelay(t, s.endpoint.GetAddress())
	s.endpoint.Address = r.l.Addr().String()
	c := s.dial(nil)
	var puts [][]byte
	for i := range 60 {
		p := append(fmt.Append(nil, i, " "), randomBytes(100_000)...)
		puts = append(puts, p)
		if err := c.Put(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			r.cut()
		}
		if i%7 == 0 {
			got := 0
			err := c.Get(t.Context(), ids, func(int, []byte) error {
				if got++; got == 50 {
					r.cut()
				}
				return nil
			})
			if err != nil || got != len(ids) {
				t.Fatalf("get over a cut: %v, %d of %d", err, got, len(ids))
			}
		}
	}
	r.cut()
	if err := c.Commit(t.Context(), point.Draft{Type: point.Complete, Body: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(puts, m.puts, bytes.Equal) {
		t.Errorf("puts differ: %d sent, %d arrived", len(puts), len(m.puts))
	}
	if len(m.drafts) != 1 {
		t.Errorf("%d commits, want 1", len(m.drafts))
	}
	r.cut()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-s.result; err != nil {
		t.Error(err)
	}
}

func TestASilentPeerIsFoundOut(t *testing.T) {
	quick := timing{ping: 20 * time.Millisecond, dead: 200 * time.Millisecond}
	s := newSite(t, &memory{}, func(c *DataServerConfig) { c.timing, c.Wait = quick, 300*time.Millisecond })
	r := newRelay(t, s.endpoint.GetAddress())
	s.endpoint.Address = r.l.Addr().String()
	c := s.dial(func(c *DialConfig) { c.timing, c.reconnect = quick, 300*time.Millisecond })
	r.mu.Lock()
	r.mute = true
	r.mu.Unlock()
	if err := <-s.result; errs.CodeOf(err) != "agent.lost" {
		t.Errorf("session: %v", err)
	}
	_, err := c.Have(t.Context(), make([]seal.H, 1))
	if errs.KindOf(err) != errs.Unavailable {
		t.Errorf("have: %v", err)
	}
	if err := c.Close(); errs.KindOf(err) != errs.Unavailable {
		t.Errorf("close: %v", err)
	}
}

var errStop = errors.New("stop")

func TestAnAbandonedGetLeavesTheSessionUsable(t *testing.T) {
	id := seal.ID{1}
	m := &memory{records: map[seal.ID][]byte{id: randomBytes(1 << 20)}}
	s := newSite(t, m, nil)
	c := s.dial(nil)
	ids := make([]seal.ID, 64)
	for i := range ids {
		ids[i] = id
	}
	for range 5 { // ten windows: credit that is not given back would end this
		if err := c.Get(t.Context(), ids, func(int, []byte) error { return errStop }); !errors.Is(err, errStop) {
			t.Fatalf("get: %v", err)
		}
	}
	n := 0
	if err := c.Get(t.Context(), ids, func(int, []byte) error { n++; return nil }); err != nil || n != 64 {
		t.Errorf("get: %v, %d of 64", err, n)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

var _ io.Closer = (*DataClient)(nil)

func TestAgentLearnsThatTheRepositoryIsEmpty(t *testing.T) {
	for _, want := range []bool{false, true} {
		s := newSite(t, &memory{}, func(c *DataServerConfig) { c.Empty = want })
		c := s.dial(nil)
		if got := c.Empty(); got != want {
			t.Errorf("of a repository that is empty: %v, the agent learns %v", want, got)
		}
		if c.Local() {
			t.Error("a mover reached by TCP counts as one on this host")
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is sent over TLS goes by the limit of its end, which may change; a connection over it lives on.
func TestAnEndSendsNoFasterThanItsLimit(t *testing.T) {
	h := &memory{records: map[seal.ID][]byte{}}
	s := newSite(t, h, nil)
	var limit rate.Limit
	limit.Set(4 << 20)
	c := s.dial(func(cfg *DialConfig) { cfg.Limit = &limit })
	rec := randomBytes(256 << 10)
	began := time.Now()
	for range 8 { // half a second
		if err := c.Put(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Checkpoint(t.Context(), point.Draft{Type: point.Checkpoint}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("2 MiB at 4 MiB a second were sent in %s", took)
	}
	if bytes, _ := limit.Moved(); bytes < 2<<20 {
		t.Errorf("its limit says that %d bytes were sent", bytes)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
