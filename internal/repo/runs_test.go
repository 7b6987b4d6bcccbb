package repo

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
)

func TestRunsJoinWhatLiesNear(t *testing.T) {
	const kib = 1 << 10
	for _, c := range []struct {
		name    string
		records [][2]uint32 // offset, length
		want    [][]int
	}{
		{"one", [][2]uint32{{100, 50}}, [][]int{{0}}},
		{"neighbours", [][2]uint32{{0, 50}, {50, 50}, {100, 1}}, [][]int{{0, 1, 2}}},
		{"over a gap", [][2]uint32{{0, 50}, {50 + runGap - 1, 50}}, [][]int{{0, 1}}},
		{"not over a wide gap", [][2]uint32{{0, 50}, {50 + runGap, 50}}, [][]int{{0}, {1}}},
		{"no more than a run's size", [][2]uint32{{0, 900 * kib}, {900 * kib, 900 * kib}, {1800 * kib, 900 * kib}}, [][]int{{0, 1}, {2}}},
		{"a record larger than a run", [][2]uint32{{0, 50}, {50, 2 * runSize}, {50 + 2*runSize, 50}}, [][]int{{0}, {1}, {2}}},
		{"one record twice", [][2]uint32{{0, 50}, {0, 50}}, [][]int{{0, 1}}},
	} {
		places := make([]runPlace, len(c.records))
		for i, r := range c.records {
			places[i] = runPlace{at: i, l: Location{Offset: r[0], Length: r[1]}}
		}
		var got [][]int
		for _, n := range appendRuns(nil, places) {
			var at []int
			for _, p := range n.places {
				at = append(at, p.at)
				if end := int(p.l.Offset+p.l.Length) - int(n.places[0].l.Offset); end > n.size {
					t.Errorf("%s: a run of %d bytes, its record ends at %d", c.name, n.size, end)
				}
			}
			got = append(got, at)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// Every record comes once and as a single read answers it, whatever the order asked for; one
// that is damaged or unknown keeps no other back.
func TestRunsAnswerWhatSingleReadsAnswer(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m := disk(t, s)
	b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(40, 9000, 3), packSize: 60_000}
	r := open(t, m)
	_, err := b.run(ctx, r)
	must(t, err)

	hasher, owner := s.keys("web1").NewHasher(), s.owner("web1")
	var ids []seal.ID
	for _, content := range b.files { // in no order
		for _, piece := range repotest.Cut(content, 1000) {
			ids = append(ids, hasher.Hash(seal.KindData, []byte(piece)).ID())
		}
	}
	unknown := len(ids)
	ids = append(ids, seal.ID{1})
	bad, ok := r.Lookup(ctx, ids[7])
	if !ok {
		t.Fatal("a chunk is in no index")
	}
	must(t, m.Flip("/r/"+bad.PackName(), int(bad.Offset)+90, 1))

	runs := r.Runs(ctx, owner, ids)
	if len(runs) >= len(ids)/2 {
		t.Errorf("%d runs for %d chunks: they are not joined", len(runs), len(ids))
	}
	seen := make([]int, len(ids))
	var buf []byte
	for _, n := range runs {
		if n.Asked() > n.Size() {
			t.Errorf("a run of %d bytes holds records of %d", n.Size(), n.Asked())
		}
		if cap(buf) < n.Size() {
			buf = make([]byte, n.Size())
		}
		r.ReadRun(ctx, owner, n, buf[:n.Size()], func(i int, rec seal.Record, err error) {
			seen[i]++
			want, wantErr := r.ReadFor(ctx, owner, ids[i], nil)
			if errs.CodeOf(err) != errs.CodeOf(wantErr) || !bytes.Equal(rec.Bytes(), want.Bytes()) {
				t.Errorf("chunk %d: %d bytes, %v; a single read answers %d bytes, %v", i, rec.Len(), err, want.Len(), wantErr)
			}
			if failed := ids[i] == bad.ID || i == unknown; failed != (err != nil) {
				t.Errorf("chunk %d: %v", i, err)
			}
		})
	}
	for i, n := range seen {
		if n != 1 {
			t.Errorf("chunk %d came %d times", i, n)
		}
	}
}
