package pipeline

import (
	"bytes"
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
	"keepward/internal/source"
)

const blockSize = signature.Block

// shelf keeps chunks of the file index in memory.
type shelf map[seal.H]fileindex.Chunk

func (s shelf) Save(_ context.Context, c fileindex.Chunk) error {
	s[c.H] = c
	return nil
}

func (s shelf) Fetch(_ context.Context, _ seal.Kind, hs []seal.H) ([][]byte, error) {
	out := make([][]byte, len(hs))
	for i, h := range hs {
		c, ok := s[h]
		if !ok {
			return nil, errs.New(errs.NotFound, "chunk.missing", "it is not there")
		}
		out[i] = bytes.Clone(c.Content)
	}
	return out, nil
}

// parentOf opens a file that has these extents as a parent.
func parentOf(t *testing.T, xs ...fileindex.Extent) *parentFile {
	t.Helper()
	s, hasher := shelf{}, testKeys().NewHasher()
	e := &fileindex.Entry{Type: fileindex.File}
	list := extentList{saver: s, hasher: hasher}
	for _, x := range xs {
		e.Size += x.Len
		if err := list.add(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	w := signature.NewWriter(hasher, s)
	err := w.Zeros(t.Context(), (e.Size+blockSize-1)/blockSize)
	if err == nil {
		err = list.finish(t.Context(), e)
	}
	if err != nil {
		t.Fatal(err)
	}
	h, err := w.Finish(t.Context(), e.Size)
	if err != nil {
		t.Fatal(err)
	}
	e.Signature = &h
	p, err := openParent(t.Context(), s, e)
	if err != nil {
		t.Fatal(err)
	}
	p.credit = e.Size
	t.Cleanup(p.close)
	return p
}

func inChunk(h byte, offset uint32, length int64) fileindex.Extent {
	return fileindex.Extent{Kind: fileindex.InChunk, H: seal.H{h}, Offset: offset, Len: length}
}

func inBundle(h byte, member uint32, length int64) fileindex.Extent {
	return fileindex.Extent{Kind: fileindex.InBundle, H: seal.H{h}, Member: member, Len: length}
}

func TestBlocksOfAParentLieWhereTheirExtentsSay(t *testing.T) {
	p := parentOf(t,
		inChunk(1, 5, 2*blockSize+10),
		inBundle(2, 0, blockSize-10),
		inBundle(3, 7, 2*blockSize), // a member of two blocks can be named for neither
		fileindex.Extent{Kind: fileindex.Hole, Len: 100}, inChunk(4, 0, 50))
	want := [][]fileindex.Extent{
		{inChunk(1, 5, blockSize)},
		{inChunk(1, 5+blockSize, blockSize)},
		{inChunk(1, 5+2*blockSize, 10), inBundle(2, 0, blockSize-10)},
		nil, nil,
		{{Kind: fileindex.Hole, Len: 100}, inChunk(4, 0, 50)},
	}
	for i, w := range want {
		b, err := p.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, append([]fileindex.Extent(nil), b.pieces...)); d != "" {
			t.Errorf("block %d (-want +got):\n%s", i, d)
		}
	}
	if b, err := p.next(t.Context()); err != nil || b.length != 0 {
		t.Errorf("behind the last: %+v, %v", b, err)
	}
}

func TestExtentsThatEndEarlyAreFound(t *testing.T) {
	p := parentOf(t, inChunk(1, 0, blockSize), inChunk(2, 0, blockSize))
	p.size = 3 * blockSize
	p.list = fileindex.NewExtents(nil, &fileindex.Entry{Extents: []fileindex.Extent{inChunk(1, 0, blockSize)}})
	_, err := p.next(t.Context())
	if err == nil {
		_, err = p.next(t.Context())
	}
	if errs.KindOf(err) != errs.Corrupt {
		t.Errorf("error: %v", err)
	}
}

func TestAChunkIsStaleWhenLessThanHalfIsUsed(t *testing.T) {
	other := func(h byte) fileindex.Extent { return inChunk(h, 0, blockSize) }
	for _, tc := range []struct {
		name string
		xs   []fileindex.Extent
		want []bool // of the blocks
	}{
		{"a whole chunk", []fileindex.Extent{inChunk(1, 0, 2*blockSize)}, []bool{false, false}},
		{"half of a chunk", []fileindex.Extent{inChunk(1, 0, blockSize), other(2), inChunk(1, 3*blockSize, blockSize)}, []bool{false, false, false}},
		{"its first part is not used", []fileindex.Extent{inChunk(1, 2*blockSize, blockSize)}, []bool{true}},
		{
			"less than half of a chunk",
			[]fileindex.Extent{inChunk(1, 0, blockSize), other(2), inChunk(1, 4*blockSize, blockSize)},
			[]bool{true, false, true},
		},
		{
			"half of a bundle",
			[]fileindex.Extent{inBundle(1, 3, blockSize), other(2), inBundle(1, 6, blockSize)},
			[]bool{false, false, false},
		},
		{
			"less than half of a bundle",
			[]fileindex.Extent{inBundle(1, 3, blockSize), other(2), inBundle(1, 7, blockSize)},
			[]bool{true, false, true},
		},
		{"a hole", []fileindex.Extent{{Kind: fileindex.Hole, Len: blockSize}}, []bool{false}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := parentOf(t, tc.xs...)
			var got []bool
			for range tc.want {
				b, err := p.next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, b.stale)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("stale blocks (-want +got):\n%s", d)
			}
			if len(p.chunks) != 0 {
				t.Errorf("%d chunks are remembered", len(p.chunks))
			}
		})
	}
}

// A chunk of which only a part could be stored again is better left alone.
func TestWithoutCreditNothingIsStale(t *testing.T) {
	p := parentOf(t, inChunk(1, 0, blockSize), inChunk(2, 0, blockSize), inChunk(1, 8*blockSize, blockSize))
	p.credit = 2*blockSize - 1
	for i := range 3 {
		if b, err := p.next(t.Context()); err != nil || b.stale {
			t.Errorf("block %d: %+v, %v", i, b, err)
		}
	}
}

func TestLookingAheadIsBounded(t *testing.T) {
	var xs []fileindex.Extent
	for i := range 3 * lookAhead {
		xs = append(xs, fileindex.Extent{Kind: fileindex.InBundle, H: seal.H{byte(i), byte(i >> 8), 1}, Len: blockSize})
	}
	p := parentOf(t, xs...)
	for i := range xs {
		b, err := p.next(t.Context())
		if err != nil || len(b.pieces) != 1 || b.pieces[0] != xs[i] {
			t.Fatalf("block %d: %+v, %v", i, b, err)
		}
		if len(p.ahead) > lookAhead || len(p.chunks) > lookAhead || cap(p.room) > 2*lookAhead {
			t.Fatalf("%d extents ahead of %d chunks", len(p.ahead), len(p.chunks))
		}
	}
}

// What was read as data is stored as data, whatever the file has there by now.
func TestAHoleMadeMeanwhileIsNotTaken(t *testing.T) {
	hole := func() *layout { return &layout{f: source.File{}, size: blockSize, start: blockSize, end: blockSize} }
	for name, tc := range map[string]struct {
		content []byte
		do      func(r *inplace) error
		want    fileindex.ExtentKind
	}{
		"block of data":  {noise(1, blockSize), func(r *inplace) error { return r.store(t.Context(), &r.blocks[0]) }, fileindex.InChunk},
		"block of zeros": {make([]byte, blockSize), func(r *inplace) error { return r.store(t.Context(), &r.blocks[0]) }, fileindex.Hole},
		"long run": {noise(1, blockSize), func(r *inplace) error {
			_, err := r.cut(t.Context())
			return err
		}, fileindex.InChunk},
	} {
		t.Run(name, func(t *testing.T) {
			w := &worker{pool: newPool(newMemStore(testKeys()), &Counters{}, 1), hasher: testKeys().NewHasher()}
			defer w.pool.buffers.close()
			window := w.pool.hold(blockSize)
			copy(window.buf, tc.content)
			r := &inplace{w: w, size: blockSize, here: hole(), last: true, extents: w.newExtents(), hold: window, end: blockSize}
			r.blocks = []block{{n: blockSize, zero: allZero(tc.content)}}
			r.pack = packer{w: w, to: &r.extents}
			if err := tc.do(r); err != nil {
				t.Fatal(err)
			}
			if err := r.pack.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(r.extents.list) != 1 || r.extents.list[0].Kind != tc.want {
				t.Errorf("extents: %+v", r.extents.list)
			}
		})
	}
}
