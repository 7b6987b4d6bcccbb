package pack

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

type memory struct{ *bytes.Reader }

func (m memory) Size() int64 { return m.Reader.Size() }

func source(b []byte) Source { return memory{bytes.NewReader(b)} }

func records(t testing.TB, contents ...string) [][]byte {
	t.Helper()
	m := seal.Master{Domain: 1, Secret: seal.Secret{7}}
	keys := m.TaskKeys([16]byte{1}, "web1")
	s, err := seal.NewSealer(keys, seal.CompressNone)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]byte
	for _, c := range contents {
		rec, err := s.Seal(nil, seal.KindData, keys.NewHasher().Hash(seal.KindData, []byte(c)), nil, []byte(c))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
	return out
}

var header = Header{Class: Data, RepositoryID: [16]byte{1}, Attempt: point.Attempt{2}, Owner: [16]byte{3}, Number: 4}

func build(t testing.TB, recs [][]byte) ([]byte, []Entry) {
	t.Helper()
	b := header.Append(nil)
	var entries []Entry
	for _, raw := range recs {
		rec, err := seal.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, Entry{ID: rec.ID, Offset: uint32(len(b)), Length: uint32(len(raw)), Kind: rec.Kind})
		b = append(b, raw...)
	}
	return AppendDirectory(b, int64(len(b)), entries), entries
}

func TestAPackReadsBackAsItWasWritten(t *testing.T) {
	b, want := build(t, records(t, "one", "two", "three"))
	h, err := ReadHeader(source(b))
	if err != nil || h != header {
		t.Fatalf("header %+v, %v", h, err)
	}
	got, err := ReadDirectory(source(b))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// Every bit of header, directory and footer counts: no flip of one may be read as good and
// different.
func TestAFlippedBitOutsideTheRecordsIsNoticed(t *testing.T) {
	b, want := build(t, records(t, "one", "two"))
	end := int(want[1].Offset + want[1].Length)
	for i := range b {
		if i >= HeaderSize && i < end {
			continue
		}
		for bit := range 8 {
			c := bytes.Clone(b)
			c[i] ^= 1 << bit
			_, herr := ReadHeader(source(c))
			got, derr := ReadDirectory(source(c))
			if herr == nil && derr == nil {
				t.Fatalf("byte %d bit %d: not noticed, directory %v", i, bit, got)
			}
		}
	}
}

func TestScanFindsAllRecordsWithoutADirectory(t *testing.T) {
	recs := records(t, "one", "two", "three", "four")
	b, want := build(t, recs)
	end := want[3].Offset + want[3].Length
	tests := []struct {
		name   string
		damage func(b []byte)
		lost   []int
	}{
		{"whole", func([]byte) {}, nil},
		{"a record's body", func(b []byte) { b[want[1].Offset+seal.HeaderSize] ^= 1 }, []int{1}},
		{"a record's header", func(b []byte) { b[want[1].Offset+30] ^= 1 }, []int{1}},
		{"a record's magic", func(b []byte) { b[want[2].Offset] = 'x' }, []int{2}},
		{"two neighbours", func(b []byte) { clear(b[want[1].Offset : want[2].Offset+50]) }, []int{1, 2}},
		{"the first", func(b []byte) { clear(b[HeaderSize : HeaderSize+10]) }, []int{0}},
		{"the last", func(b []byte) { b[end-1] ^= 1 }, []int{3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := bytes.Clone(b[:end])
			test.damage(c)
			var got []Entry
			next := int64(HeaderSize)
			err := Scan(source(c), int64(end), func(f Found) error {
				if f.Offset != next {
					t.Errorf("a gap from %d to %d", next, f.Offset)
				}
				next = f.Offset + f.Length
				if f.Err == nil {
					got = append(got, Entry{ID: f.Record.ID, Offset: uint32(f.Offset), Length: uint32(f.Length), Kind: f.Record.Kind})
				}
				return nil
			})
			if err != nil || next != int64(end) {
				t.Fatalf("scan ended at %d of %d: %v", next, end, err)
			}
			var good []Entry
			for i, e := range want {
				if !slices.Contains(test.lost, i) {
					good = append(good, e)
				}
			}
			if diff := cmp.Diff(good, got); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func FuzzReadDirectory(f *testing.F) {
	b, _ := build(f, records(f, "one", "two"))
	f.Add(b)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = ReadHeader(source(b))
		entries, err := ReadDirectory(source(b))
		if err != nil && errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("kind %q: %v", errs.KindOf(err), err)
		}
		for _, e := range entries {
			if int64(e.Offset)+int64(e.Length) > int64(len(b)) {
				t.Fatalf("entry %v outside of %d bytes", e, len(b))
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	b, _ := build(f, records(f, "one", "two"))
	f.Add(b)
	f.Add(b[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		next := int64(HeaderSize)
		err := Scan(source(b), int64(len(b)), func(found Found) error {
			if found.Offset != next || found.Length <= 0 {
				t.Fatalf("found %d+%d, expected at %d", found.Offset, found.Length, next)
			}
			next += found.Length
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
