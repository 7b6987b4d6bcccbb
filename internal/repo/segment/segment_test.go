package segment

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

var (
	header = Header{RepositoryID: [16]byte{1}, Attempt: point.Attempt{2}, Owner: [16]byte{3}, Number: 4}
	packs  = []Pack{{Attempt: point.Attempt{2}, Class: pack.Data, Number: 1, Length: 1000, Owner: [16]byte{3}}, {Attempt: point.Attempt{9}, Class: pack.Meta, Number: 7, Owner: [16]byte{3}}}
	// merged has rows of several owners, and of nobody.
	merged      = Header{RepositoryID: [16]byte{1}, Attempt: point.Attempt{2}, Number: 5}
	mergedPacks = []Pack{{Attempt: point.Attempt{2}, Class: pack.Data, Number: 1, Length: 1000, Owner: [16]byte{3}}, {Attempt: point.Attempt{2}, Class: pack.Data, Number: 1, Length: 1000}}
)

func randomRows(n int, seed uint64) []Row {
	rng := rand.New(rand.NewPCG(seed, 2))
	rows := make([]Row, n)
	for i := range rows {
		r := &rows[i]
		for j := 0; j < 32; j += 8 {
			binary.LittleEndian.PutUint64(r.ID[j:], rng.Uint64())
		}
		r.Pack, r.Offset, r.Length = uint32(rng.IntN(2)), rng.Uint32(), rng.Uint32()
		r.Kind, r.Flags = seal.Kind(1+rng.IntN(7)), Flags(rng.IntN(8))
	}
	return rows
}

func TestASegmentAnswersAsAMapWould(t *testing.T) {
	for _, n := range []int{0, 1, 84, 85, 86, 170, 5000} {
		rows := randomRows(n, uint64(n))
		if n > 400 { // ids that stand more than once, over the border of a page
			for i := range 200 {
				rows[100+i].ID = rows[50].ID
			}
			rows[301].ID = rows[300].ID
		}
		want := map[seal.ID][]Row{}
		for _, r := range rows {
			want[r.ID] = append(want[r.ID], r)
		}
		s, err := Parse(Encode(header, packs, rows))
		if err != nil {
			t.Fatalf("%d rows: %v", n, err)
		}
		if s.Rows() != int64(n) || s.Header != header || !slices.Equal(s.Packs, packs) || s.Merged() {
			t.Fatalf("%d rows: %d, %+v, %+v", n, s.Rows(), s.Header, s.Packs)
		}
		if s, err = Parse(Encode(merged, mergedPacks, rows)); err != nil || s.Header != merged || !slices.Equal(s.Packs, mergedPacks) || !s.Merged() {
			t.Fatalf("%d rows of several owners: %v, %+v, %+v", n, err, s.Header, s.Packs)
		}
		for id, w := range want {
			got, err := s.Find(nil, id)
			if err != nil {
				t.Fatal(err)
			}
			order := func(a, b Row) int { return int(a.Offset) - int(b.Offset) }
			slices.SortFunc(got, order)
			slices.SortFunc(w, order)
			if diff := cmp.Diff(w, got); diff != "" {
				t.Fatalf("%d rows, id %s:\n%s", n, id, diff)
			}
		}
		for _, r := range randomRows(1000, 77) {
			if got, err := s.Find(nil, r.ID); err != nil || len(got) != 0 {
				t.Fatalf("%d rows: an id that is not there gives %v, %v", n, got, err)
			}
		}
		for _, id := range []seal.ID{{}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}} {
			if got, err := s.Find(nil, id); err != nil || len(got) != 0 {
				t.Fatalf("%d rows: %v, %v", n, got, err)
			}
		}
	}
}

// Ids need not be spread evenly for answers to be right: an attacker could choose them.
func TestASegmentOfCrowdedIdsAnswersAll(t *testing.T) {
	rows := randomRows(2000, 5)
	for i := range rows {
		copy(rows[i].ID[:8], []byte{0x80, 0, 0, 0, 0, 0, 0, byte(i % 3)})
	}
	ids := make([]seal.ID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	s, err := Parse(Encode(header, packs, rows))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if got, err := s.Find(nil, id); err != nil || len(got) != 1 {
			t.Fatalf("id %s: %v, %v", id, got, err)
		}
	}
}

func TestASegmentTellsWhetherItMarksDamage(t *testing.T) {
	for _, flags := range []Flags{0, Proved, Damaged, Proved | Damaged} {
		rows := randomRows(200, 9)
		for i := range rows {
			rows[i].Flags = 0
		}
		rows[77].Flags = flags
		s, err := Parse(Encode(header, packs, rows))
		if err != nil || s.Marks != (flags&Damaged != 0) {
			t.Fatalf("flags %d: marks %v, %v", flags, s.Marks, err)
		}
	}
}

func TestTheFilterTurnsAwayAlmostEveryMiss(t *testing.T) {
	s, err := Parse(Encode(header, packs, randomRows(50_000, 1)))
	if err != nil {
		t.Fatal(err)
	}
	hits := 0
	for _, r := range randomRows(50_000, 2) {
		if s.mayHave(&r.ID) {
			hits++
		}
	}
	if hits > 50_000*3/100 {
		t.Fatalf("%d of 50000 misses pass the filter", hits)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	everyFlip(t, Encode(header, packs, randomRows(100, 3)))
	everyFlip(t, Encode(merged, mergedPacks, randomRows(100, 3)))
}

func everyFlip(t *testing.T, b []byte) {
	t.Helper()
	for i := range b {
		b[i] ^= 1 << (i % 8)
		s, err := Parse(b)
		if err == nil {
			err = s.All(func(Row) error { return nil })
		}
		if errs.KindOf(err) != errs.Corrupt && errs.CodeOf(err) != "segment.version" {
			t.Fatalf("byte %d: %v", i, err)
		}
		b[i] ^= 1 << (i % 8)
	}
	for _, n := range []int{0, 1, 127, 128, len(b) - PageSize, len(b) - 1} {
		if _, err := Parse(b[:n]); errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Encode(header, packs, randomRows(100, 3)), []byte("some id"))
	f.Add(Encode(header, nil, nil), []byte{})
	f.Add(Encode(merged, mergedPacks, randomRows(100, 3)), []byte("some id"))
	f.Fuzz(func(t *testing.T, b, id []byte) {
		s, err := Parse(b)
		if err != nil {
			return
		}
		var key seal.ID
		copy(key[:], id)
		_, _ = s.Find(nil, key) // an error is fine, a panic is not
		_ = s.All(func(r Row) error {
			got, err := s.Find(nil, r.ID)
			if err != nil || !slices.ContainsFunc(got, func(g Row) bool { return bytes.Equal(g.ID[:], r.ID[:]) }) {
				t.Skip() // its checksums were made for it by the fuzzer's luck, its order was not
			}
			return nil
		})
	})
}

func TestPositionIsTheFirstRowOfAnID(t *testing.T) {
	for _, n := range []int{0, 1, 85, 86, 5000} {
		rows := randomRows(n, uint64(n))
		if n > 400 { // over the border of a page
			for i := range 200 {
				rows[100+i].ID = rows[50].ID
			}
		}
		s, err := Parse(Encode(header, packs, rows))
		if err != nil {
			t.Fatal(err)
		}
		var at int64
		first := map[seal.ID]int64{}
		err = s.All(func(r Row) error {
			if _, seen := first[r.ID]; !seen {
				first[r.ID] = at
			}
			at++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range first {
			if got, ok, err := s.Position(id); err != nil || !ok || got != want {
				t.Fatalf("%d rows: %d, %v, %v; want %d", n, got, ok, err, want)
			}
		}
		for _, r := range randomRows(1000, 77) {
			if _, ok, err := s.Position(r.ID); err != nil || ok {
				t.Fatalf("%d rows: an id that is not there: %v, %v", n, ok, err)
			}
		}
	}
}

func TestACursorReadsWhatAllReads(t *testing.T) {
	for _, n := range []int{0, 1, 85, 86, 1000} {
		b := Encode(header, packs, randomRows(n, 4))
		s, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		var want, got []Row
		if err := s.All(func(r Row) error { want = append(want, r); return nil }); err != nil {
			t.Fatal(err)
		}
		c := s.Cursor()
		for {
			r, ok, err := c.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			got = append(got, r)
		}
		if diff := cmp.Diff(want, got); diff != "" || len(got) != n {
			t.Fatalf("%d rows: %s", n, diff)
		}
		if n == 0 {
			continue
		}
		b[len(b)-PageSize+9] ^= 4
		c = s.Cursor()
		for err == nil {
			var ok bool
			if _, ok, err = c.Next(); !ok && err == nil {
				t.Fatalf("%d rows: a damaged page is taken", n)
			}
		}
	}
}

// A filter that was made for more rows than came is only larger.
func TestABuilderMayExpectTooMany(t *testing.T) {
	rows := randomRows(500, 6)
	slices.SortFunc(rows, func(a, b Row) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	b := NewBuilder(5000)
	for i := range rows {
		b.Count(&rows[i])
	}
	var out bytes.Buffer
	w, err := b.Begin(&out, header, packs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if err := w.Add(&rows[i]); err != nil {
			t.Fatal(err)
		}
	}
	if w.Add(&rows[0]) == nil {
		t.Fatal("a row too many is taken")
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(out.Bytes())
	if err != nil || s.Rows() != 500 {
		t.Fatal(err)
	}
	for i := range rows {
		if got, err := s.Find(nil, rows[i].ID); err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
	}
	w, err = b.Begin(&out, header, packs)
	if err != nil || w.Finish() == nil {
		t.Fatal("rows that did not come are not missed")
	}
}

// Whoever asks only the segments that pass misses no row.
func TestWhatDoesNotPassHasNoRow(t *testing.T) {
	var segs []*Segment
	var ids []seal.ID
	for i := range 30 {
		rows := randomRows(100*i, uint64(i))
		s, err := Parse(Encode(header, packs, rows))
		if err != nil {
			t.Fatal(err)
		}
		segs = append(segs, s)
		for j := 0; j < len(rows); j += 50 {
			ids = append(ids, rows[j].ID)
		}
	}
	for _, r := range randomRows(500, 99) {
		ids = append(ids, r.ID)
	}
	passed := 0
	for _, id := range ids {
		var want []int
		for i, s := range segs {
			if rows, err := s.Find(nil, id); err != nil || len(rows) > 0 {
				want = append(want, i)
			}
		}
		got := Passing(nil, len(segs), func(i int) *Segment { return segs[i] }, id)
		passed += len(got) - len(want)
		for _, i := range want {
			if !slices.Contains(got, i) {
				t.Fatalf("segment %d has %s and does not pass", i, id)
			}
		}
	}
	if passed > len(ids)*len(segs)*3/100 {
		t.Fatalf("%d of %d filters let pass what they do not have", passed, len(ids)*len(segs))
	}
}
