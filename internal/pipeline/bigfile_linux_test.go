package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/signature"
)

const (
	big      = "big"
	size     = 17<<20 + 5000
	zeroTail = size - 5000 // where the last block begins
)

// bigSite is a site with one large file.
func bigSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.age()
	s.opts.Compression = seal.CompressFast
	s.write(big, noise(1, size))
	return s
}

// edit opens the large file and changes it.
func (s *site) edit(fn func(f *os.File) error) {
	s.t.Helper()
	f, err := os.OpenFile(s.path(big), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(fn(f), f.Close()); err != nil {
		s.t.Fatal(err)
	}
}

func writeAt(at int64, content []byte) func(f *os.File) error {
	return func(f *os.File) error {
		_, err := f.WriteAt(content, at)
		return err
	}
}

// bigSame compares the large file with what the point has of it, and with its signature.
func (s *site) bigSame(res Result) *fileindex.Entry {
	s.t.Helper()
	e := s.tree(res)[big]
	want, err := os.ReadFile(s.path(big))
	if err != nil {
		s.t.Fatal(err)
	}
	got := s.assemble(e)
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		s.t.Fatalf("what is stored differs from byte %d on; %d bytes, want %d", at, len(got), len(want))
	}
	s.signed(e, want)
	return e
}

// assemble puts a file together from its extents; every chunk is opened once.
func (s *site) assemble(e *fileindex.Entry) []byte {
	s.t.Helper()
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	chunks := map[seal.H][]byte{}
	open := func(kind seal.Kind, h seal.H) []byte {
		if chunks[h] == nil {
			c, err := f.Fetch(context.Background(), kind, []seal.H{h})
			if err != nil {
				s.t.Fatal(err)
			}
			chunks[h] = c[0]
		}
		return chunks[h]
	}
	var out []byte
	err := fileindex.ForEachExtent(context.Background(), f, e, func(at int64, x fileindex.Extent) error {
		if at != int64(len(out)) {
			s.t.Fatalf("an extent begins at %d, not %d", at, len(out))
		}
		switch x.Kind {
		case fileindex.Hole, fileindex.Zeros:
			out = append(out, make([]byte, x.Len)...)
		case fileindex.InChunk:
			out = append(out, open(seal.KindData, x.H)[x.Offset:int64(x.Offset)+x.Len]...)
		case fileindex.InBundle:
			b, err := seal.ParseBundle(open(seal.KindBundle, x.H))
			if err != nil {
				return err
			}
			if m := b.Member(int(x.Member)); int64(len(m)) == x.Len {
				out = append(out, m...)
			} else {
				s.t.Fatalf("an extent of %d bytes names a member of %d", x.Len, len(m))
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// signed checks that the signature of e is that of content.
func (s *site) signed(e *fileindex.Entry, content []byte) {
	s.t.Helper()
	if e.Signature == nil {
		if len(content) >= signature.MinFile {
			s.t.Error("it has no signature")
		}
		return
	}
	f := &fetcher{store: s.store, keys: s.store.keys}
	defer f.close()
	r, err := signature.Open(context.Background(), f, *e.Signature)
	if err != nil || r.Size() != int64(len(content)) {
		s.t.Fatalf("signature: %v", err)
	}
	h := signature.NewHasher(s.store.keys.SignatureKey)
	for at := 0; at < len(content); at += signature.Block {
		want := h.Sum(content[at:min(at+signature.Block, len(content))])
		if got, err := r.Next(context.Background()); err != nil || got != want {
			s.t.Fatalf("signature of the block at %d is %d, %v; want %d", at, got, err, want)
		}
	}
	if _, err := r.Next(context.Background()); !errors.Is(err, io.EOF) {
		s.t.Errorf("behind the last block: %v", err)
	}
}

// punch makes a hole in a file.
func punch(f *os.File, at, n int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
}
