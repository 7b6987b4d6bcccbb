package signature

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

func testKeys() *seal.Keys {
	return seal.Master{Domain: 1, Secret: seal.Secret{1, 2, 3}}.TaskKeys([16]byte{9}, "web1")
}

// store keeps chunks in memory and checks that what they refer to came before them.
type store struct {
	t      interface{ Errorf(string, ...any) }
	chunks map[seal.H]fileindex.Chunk
	fetchs int
}

func newStore(t interface{ Errorf(string, ...any) }) *store {
	return &store{t: t, chunks: make(map[seal.H]fileindex.Chunk)}
}

func (s *store) Save(_ context.Context, c fileindex.Chunk) error {
	for _, h := range c.Refs {
		if _, ok := s.chunks[h]; !ok {
			s.t.Errorf("a record refers to one that was not saved")
		}
	}
	s.chunks[c.H] = c
	return nil
}

func (s *store) Fetch(_ context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	s.fetchs++
	out := make([][]byte, len(hs))
	for i, h := range hs {
		c, ok := s.chunks[h]
		if !ok || c.Kind != kind {
			return nil, errs.New(errs.NotFound, "chunk.missing", "it is not there")
		}
		out[i] = c.Content
	}
	return out, nil
}

// stretch is a row of blocks: zeros, or numbers from a generator.
type stretch struct {
	blocks int64
	zero   bool
}

func write(t *testing.T, s *store, list []stretch, tail int64) (h seal.H, size int64) {
	t.Helper()
	w, random := NewWriter(testKeys().NewHasher(), s), rand.NewPCG(1, 2)
	for _, part := range list {
		size += part.blocks * Block
		if part.zero {
			if err := w.Zeros(t.Context(), part.blocks); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for range part.blocks {
			if err := w.Add(t.Context(), random.Uint64()); err != nil {
				t.Fatal(err)
			}
		}
	}
	size -= tail
	h, err := w.Finish(t.Context(), size)
	if err != nil {
		t.Fatal(err)
	}
	return h, size
}

func read(t *testing.T, s *store, h seal.H, list []stretch, size int64) {
	t.Helper()
	r, err := Open(t.Context(), s, h)
	if err != nil {
		t.Fatal(err)
	}
	if r.Size() != size {
		t.Errorf("it is of a file of %d bytes, not %d", r.Size(), size)
	}
	random := rand.NewPCG(1, 2)
	for i, part := range list {
		for k := range part.blocks {
			want := uint64(0)
			if !part.zero {
				want = random.Uint64()
			}
			if got, err := r.Next(t.Context()); err != nil || got != want {
				t.Fatalf("block %d of stretch %d is %d, %v; want %d", k, i, got, err, want)
			}
		}
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("behind the last block: %v", err)
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	for _, tc := range []struct {
		name    string
		list    []stretch
		tail    int64
		records int
	}{
		{"one byte", []stretch{{1, false}}, Block - 1, 1},
		{"one leaf", []stretch{{leafBlocks, false}}, 0, 1},
		{"a leaf of zeros alone", []stretch{{leafBlocks, true}}, 0, 1},
		{"a block more", []stretch{{leafBlocks + 1, false}}, 5, 3},
		{"a leaf of zeros between", []stretch{{leafBlocks, false}, {leafBlocks, true}, {3, false}}, 0, 3},
		{"zeros alone", []stretch{{5 * leafBlocks, true}}, 0, 1},
		{"a full inner record", []stretch{{fan*leafBlocks - 1, true}, {1, false}}, 0, 2},
		{"one more", []stretch{{fan * leafBlocks, true}, {1, false}}, 0, 3},
		{"a large file of three levels", []stretch{{2 * leafBlocks, false}, {3 * fan * leafBlocks, true}, {leafBlocks, false}, {9, true}}, 1, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore(t)
			h, size := write(t, s, tc.list, tc.tail)
			read(t, s, h, tc.list, size)
			if len(s.chunks) != tc.records {
				t.Errorf("%d records, want %d", len(s.chunks), tc.records)
			}
			for _, c := range s.chunks {
				if len(c.Content) > 33<<10 {
					t.Errorf("a record of %d bytes", len(c.Content))
				}
			}
		})
	}
}

func TestLeavesAreFetchedManyAtOnce(t *testing.T) {
	s, list := newStore(t), []stretch{{40 * leafBlocks, false}}
	h, size := write(t, s, list, 0)
	read(t, s, h, list, size)
	if s.fetchs != 4 {
		t.Errorf("%d fetches for 40 leaves", s.fetchs)
	}
}

func TestAnyStretchesAreRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var list []stretch
		for range rapid.IntRange(1, 6).Draw(rt, "stretches") {
			list = append(list, stretch{rapid.Int64Range(1, 3*leafBlocks).Draw(rt, "blocks"), rapid.Bool().Draw(rt, "zero")})
		}
		s := newStore(t)
		h, size := write(t, s, list, rapid.Int64Range(0, Block-1).Draw(rt, "tail"))
		read(t, s, h, list, size)
	})
}

// What a record refers to is what its clear ids have to be.
func TestRefsAreThoseThatWereSaved(t *testing.T) {
	s := newStore(t)
	write(t, s, []stretch{{leafBlocks, false}, {leafBlocks, true}, {2 * leafBlocks, false}}, 0)
	for _, c := range s.chunks {
		got, err := Refs(c.Content)
		if err != nil || !slices.Equal(got, c.Refs) {
			t.Errorf("%d references, %v; want %d", len(got), err, len(c.Refs))
		}
	}
	if _, err := Refs([]byte{1, 1, 1}); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("damaged: %v", err)
	}
}

func TestSkippingLeadsWhereReadingDoes(t *testing.T) {
	s, list := newStore(t), []stretch{{leafBlocks + 7, false}, {3 * leafBlocks, true}, {2 * leafBlocks, false}}
	h, size := write(t, s, list, 0)
	all, err := Open(t.Context(), s, h)
	if err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for range parts(size, Block) {
		sum, err := all.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, sum)
	}
	for _, step := range []int64{1, 5, leafBlocks - 1, leafBlocks, 3*leafBlocks + 9} {
		r, err := Open(t.Context(), s, h)
		if err != nil {
			t.Fatal(err)
		}
		at := int64(0)
		for ; at+step < int64(len(want)); at += step + 1 {
			if err := r.Skip(t.Context(), step); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Next(t.Context()); err != nil || got != want[at+step] {
				t.Fatalf("in steps of %d, block %d is %d, %v; want %d", step, at+step, got, err, want[at+step])
			}
		}
		if err := r.Skip(t.Context(), int64(len(want))-at+1); !errors.Is(err, io.EOF) {
			t.Errorf("past the end: %v", err)
		}
	}
}

func TestWrongSizeIsRefused(t *testing.T) {
	for _, size := range []int64{0, Block, 2*Block + 1} {
		w := NewWriter(testKeys().NewHasher(), newStore(t))
		for range 2 {
			if err := w.Add(t.Context(), 7); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Finish(t.Context(), size); err == nil {
			t.Errorf("two blocks made up a file of %d bytes", size)
		}
	}
}

func TestDamagedRecordsAreFound(t *testing.T) {
	s := newStore(t)
	h, _ := write(t, s, []stretch{{2 * leafBlocks, false}}, 0)
	top := s.chunks[h].Content
	leaf := s.chunks[seal.H(top[len(top)-32:])].Content
	for name, content := range map[string][]byte{
		"empty": nil, "another version": {2, 0, 1}, "a level too high": {1, 9, 1}, "no size": {1, 0},
		"cut short": leaf[:len(leaf)-1], "too long": append(bytes.Clone(leaf), 0), "more than its level holds": append(header(0, span(0)+1), leaf[5:]...),
	} {
		s.chunks[h] = fileindex.Chunk{Kind: seal.KindSignature, Content: content}
		if _, err := Open(t.Context(), s, h); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A record that is whole but stands in another's place.
	s.chunks[h] = fileindex.Chunk{Kind: seal.KindSignature, Content: top}
	last := seal.H(top[len(top)-32:])
	s.chunks[last] = fileindex.Chunk{Kind: seal.KindSignature, Content: append(header(0, Block), 1, 2, 3, 4, 5, 6, 7, 8)}
	r, err := Open(t.Context(), s, h)
	for range 2 * leafBlocks {
		if err == nil {
			_, err = r.Next(t.Context())
		}
	}
	if errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a leaf of another size: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte{1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}, []byte(nil))
	f.Add(append(header(1, span(0)+1), make([]byte, 64)...), []byte(nil))
	child := seal.H{1}
	f.Add(append(append(header(1, span(0)+1), make([]byte, 32)...), child[:]...), append(header(0, 1), 1, 2, 3, 4, 5, 6, 7, 8))
	f.Fuzz(func(t *testing.T, top, below []byte) {
		s := newStore(t)
		h := seal.H{2}
		s.chunks[h] = fileindex.Chunk{Kind: seal.KindSignature, Content: top}
		s.chunks[child] = fileindex.Chunk{Kind: seal.KindSignature, Content: below}
		r, err := Open(context.Background(), s, h)
		for n := 0; err == nil && n < 1<<16; n++ {
			_, err = r.Next(context.Background())
		}
	})
}

// The vectors are format: with other hashes every large file would once be stored anew.
func TestHashesAreThoseOfTheFormat(t *testing.T) {
	h := NewHasher(testKeys().SignatureKey)
	block := make([]byte, Block)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for _, tc := range []struct {
		block []byte
		want  uint64
	}{
		{block, 8916171769971781433}, {block[:1], 0}, {block[1:10], 11865750838976762062}, {make([]byte, Block), 0}, {nil, 0},
	} {
		if got := h.Sum(tc.block); got != tc.want {
			t.Errorf("%d bytes: %d, want %d", len(tc.block), got, tc.want)
		}
	}
}

func TestEveryByteAndTheLengthCount(t *testing.T) {
	h, seen := NewHasher(testKeys().SignatureKey), map[uint64]bool{}
	block := make([]byte, 3000)
	for i := range block {
		block[i] = 1
		seen[h.Sum(block)] = true
		block[i] = 0
	}
	block[0] = 1
	for n := range len(block) - 1 {
		seen[h.Sum(block[:n+1])] = true
	}
	if want := 2*len(block) - 1; len(seen) != want || seen[0] {
		t.Errorf("%d hashes of %d blocks", len(seen), want)
	}
	if other := NewHasher(seal.Secret{1}); other.Sum(block) == h.Sum(block) {
		t.Error("another key gives the same hash")
	}
}

func BenchmarkSum(b *testing.B) {
	h, buf := NewHasher(testKeys().SignatureKey), make([]byte, 8<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(buf)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		for at := 0; at < len(buf); at += Block {
			_ = h.Sum(buf[at : at+Block])
		}
	}
}
