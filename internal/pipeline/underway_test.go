package pipeline

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// unitOf makes a unit of files of a group.
func unitOf(seq int64, paths ...string) *unit {
	n := &unit{}
	for _, p := range paths {
		n.items = append(n.items, work{seq: seq, e: &fileindex.Entry{Path: []byte(p), Type: fileindex.File, Size: 1}})
	}
	return n
}

func pathKey(e *fileindex.Entry) []byte { return fileindex.PathKey(e.Path) }

func TestACheckpointWaitsForThoseWhoReadLargeFiles(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	u := newUnderway()
	small, large, late := unitOf(1, "small"), unitOf(1, "large"), unitOf(1, "late")
	for _, n := range []*unit{small, large, late} {
		u.begin(n, 0)
	}
	if u.ready(now) {
		t.Error("ready, and nobody wants a checkpoint")
	}
	if n := u.reading(large); n != 0 {
		t.Errorf("it need not answer up to %d", n)
	}
	u.want(now)
	u.want(now) // it is the same one
	if u.wanted.Load() != 1 {
		t.Errorf("number %d is wanted", u.wanted.Load())
	}
	if u.ready(now) {
		t.Error("ready, though the large file has not answered")
	}
	if n := u.reading(late); n != 0 {
		t.Errorf("who comes while one is wanted answers it; it need not up to %d", n)
	}
	u.answer(large, 1, nil)
	if u.ready(now) {
		t.Error("ready, though the late one has not answered")
	}
	if !u.ready(now.Add(patience)) {
		t.Error("one that hangs holds up all")
	}
	u.finished(late)
	if !u.ready(now) {
		t.Error("not ready, though all have answered")
	}
	u.made()
	if u.ready(now) || u.reading(unitOf(2, "next")) != 1 {
		t.Error("one that was made is wanted still")
	}
}

func TestWhatWasReadBehindTheTreeIsInTheCheckpoint(t *testing.T) {
	u := newUnderway()
	done, mixed, open, begun, nothing := unitOf(1, "a"), unitOf(1, "b", "d/z", "d/a"), unitOf(2, "e"), unitOf(2, "d.b"), unitOf(2, "g")
	mixed.items[1].seq, mixed.items[2].seq = 2, 2
	lost, empty := unitOf(2, "lost"), unitOf(2, "empty")
	lost.items[0].e.Type, empty.items[0].e.Size = 0, 0
	for _, n := range []*unit{done, mixed, open, begun, nothing, lost, empty} {
		u.begin(n, 0)
	}
	for _, n := range []*unit{done, mixed, lost, empty} {
		u.finished(n)
	}
	u.answer(begun, 1, begun.items[0].e)
	u.answer(nothing, 1, nil)
	var got []string
	for _, k := range u.files(1, pathKey) {
		got = append(got, string(k.e.Path))
	}
	// In the order of the tree, where what is below a directory follows it.
	if d := cmp.Diff([]string{"d/a", "d/z", "d.b"}, got); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	u.finished(begun)
	if n := len(u.files(1, pathKey)); n != 3 {
		t.Errorf("%d files, when the one that was begun is finished", n)
	}
}

// Units of a backup that has no checkpoints do not pile up.
func TestUnitsInTheTreeAreForgotten(t *testing.T) {
	u := newUnderway()
	for i := range int64(10_000) {
		u.begin(unitOf(i, "f"), i-10)
	}
	if len(u.units) > 200 {
		t.Errorf("%d units are remembered, 10 are under way", len(u.units))
	}
}

func TestWhenACheckpointIsDue(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		sent, read int64
		after      time.Duration
		want       bool
	}{
		"nothing done":           {0, 0, time.Hour, false},
		"little, and soon":       {10, 10, 29 * time.Second, false},
		"little sent, and late":  {10, 0, 30 * time.Second, true},
		"only read, and late":    {0, 10, 30 * time.Second, true},
		"only read, and soon":    {0, 5000, time.Second, false},
		"much sent":              {1000, 0, time.Second, true},
		"almost much, and early": {999, 0, time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := at
			r := &run{count: &Counters{}, opts: Options{CheckpointBytes: 1000, Clock: func() time.Time { return now }}}
			m := newMarker(r)
			r.count.sentBytes.Add(tc.sent)
			r.count.readBytes.Add(tc.read)
			now = now.Add(tc.after)
			if got := m.due(); got != tc.want {
				t.Errorf("due: %v", got)
			}
		})
	}
}

func TestWhatIsDoneAgainIsCounted(t *testing.T) {
	trail := &Trail{}
	attempt := func(read int64, chunks ...byte) *Counters {
		c := &Counters{}
		trail.begin(c)
		for _, n := range chunks {
			if n == 0 {
				trail.settle()
				trail.settled(read)
				continue
			}
			c.readBytes.Add(10)
			c.resentBytes.Add(trail.put(&seal.H{n}, 100))
		}
		trail.end(c)
		return c
	}
	for i, tc := range []struct {
		checkpointAt int64 // bytes read
		chunks       []byte
		sent, read   int64 // again, in all
	}{
		{10, []byte{1, 0, 2, 3}, 0, 0},
		{0, []byte{2}, 100, 10}, // ended before its checkpoint
		{20, []byte{2, 3, 0, 4}, 300, 10 + 20},
		{0, []byte{4, 4, 5}, 400, 30 + 10}, // the second time it is the pool's matter
	} {
		c := attempt(tc.checkpointAt, tc.chunks...)
		if p := c.Proto(); p.GetResentBytes() != tc.sent || p.GetRereadBytes() != tc.read {
			t.Errorf("attempt %d: %d bytes sent again and %d read, want %d and %d", i, p.GetResentBytes(), p.GetRereadBytes(), tc.sent, tc.read)
		}
	}
}

// A process that is killed cannot end its attempts: what it wrote down before is what counts.
func TestATrailThatWasWrittenDownIsThatOfTheEnd(t *testing.T) {
	trail := &Trail{}
	for i := range int64(2) {
		c := &Counters{}
		trail.begin(c)
		c.readBytes.Add(100)
		c.resentBytes.Add(trail.put(&seal.H{1}, 50))
		trail.settle() // a checkpoint that is not made
		c.resentBytes.Add(trail.put(&seal.H{2}, 50))
		if again := c.resentBytes.Load(); again != i*100 {
			t.Errorf("%d bytes were sent again in attempt %d", again, i)
		}
		written := trail.Marshal(c)
		trail.end(c)
		back, err := ParseTrail(written)
		if err != nil {
			t.Fatal(err)
		}
		want, got := &Counters{}, &Counters{}
		trail.begin(want)
		back.begin(got)
		for _, c := range []*Counters{want, got} {
			c.readBytes.Add(1000)
		}
		if d := cmp.Diff(want.Proto(), got.Proto(), protocmp.Transform()); d != "" {
			t.Errorf("counters (-want +got):\n%s", d)
		}
		if d := cmp.Diff(trail.lost, back.lost); d != "" {
			t.Errorf("chunks (-want +got):\n%s", d)
		}
	}
	for name, b := range map[string][]byte{
		"empty": nil, "of another version": make([]byte, 25), "torn": append([]byte{trailVersion}, make([]byte, 25)...),
		"of a wild count": append(append([]byte{trailVersion}, make([]byte, 23)...), 0x80),
	} {
		if _, err := ParseTrail(b); err == nil {
			t.Errorf("one that is %s was read", name)
		}
	}
}

func TestNoTrailIsNoMatter(t *testing.T) {
	var trail *Trail
	c := &Counters{}
	trail.begin(c)
	trail.settle()
	trail.settled(1)
	if n := trail.put(&seal.H{1}, 5); n != 0 {
		t.Errorf("%d bytes were sent again", n)
	}
	trail.end(c)
}
