package proof

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

func at(day int) time.Time { return time.Date(2026, 11, day, 3, 0, 0, 0, time.UTC) }

func name(n int) pack.Key {
	return pack.Key{Attempt: point.Attempt{byte(n)}, Class: pack.Data, Number: uint32(n)}
}

func entry(n int, level Level, flags Flags, day int) Entry {
	return Entry{Pack: name(n), Level: level, Flags: flags, Time: at(day)}
}

func TestWhatIsEncodedIsParsed(t *testing.T) {
	h := Header{RepositoryID: [16]byte{1, 2}, Attempt: point.Attempt{7}, Number: 3}
	for _, entries := range [][]Entry{{}, {entry(1, Sums, 0, 4)}, {entry(2, Content, Whole, 1), entry(1, Seen, Damaged, 2)}} {
		raw := Encode(h, entries)
		got, back, err := Parse(raw)
		if err != nil || got != h {
			t.Fatalf("%+v, %v", got, err)
		}
		if diff := cmp.Diff(entries, back); diff != "" { // Encode has sorted them
			t.Fatal(diff)
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 4
			if _, _, err := Parse(bad); err == nil {
				t.Fatalf("byte %d flipped, and parsed", i)
			}
		}
		if _, _, err := Parse(raw[:len(raw)-1]); errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("cut short: %v", err)
		}
	}
}

// The layout is format: it must not move.
func TestTheLayoutIsAsWritten(t *testing.T) {
	raw := Encode(Header{RepositoryID: [16]byte{0xaa}, Attempt: point.Attempt{0xbb}, Number: 0x0102},
		[]Entry{{Pack: pack.Key{Attempt: point.Attempt{0xcc}, Class: pack.Meta, Number: 9}, Level: Content, Flags: Whole, Time: time.Unix(0, 0x11).UTC()}})
	want := make([]byte, 80)
	copy(want, "KWPV\x01\x00\x00\x00\xaa")
	want[24], want[40], want[41], want[44] = 0xbb, 2, 1, 1
	want[48], want[64], want[65], want[66], want[68], want[72] = 0xcc, 2, 2, 1, 9, 0x11
	if diff := cmp.Diff(want, raw[:80]); diff != "" || len(raw) != 88 {
		t.Fatalf("%d bytes, %s", len(raw), diff)
	}
}

func TestTheNewerProofCounts(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b Entry
		want Entry
	}{
		{"later", entry(1, Content, 0, 1), entry(1, Content, 0, 2), entry(1, Content, 0, 2)},
		{"later of a lower level", entry(1, Content, 0, 1), entry(1, Sums, 0, 2), entry(1, Sums, 0, 2)},
		{"higher of the same time", entry(1, Content, 0, 2), entry(1, Sums, 0, 2), entry(1, Content, 0, 2)},
		{"the first sight", entry(1, Seen, 0, 1), entry(1, Seen, 0, 2), entry(1, Seen, 0, 1)},
		{"a proof before a later sight", entry(1, Sums, 0, 1), entry(1, Seen, 0, 2), entry(1, Sums, 0, 1)},
		{"whole stays", entry(1, Content, Whole, 1), entry(1, Content, 0, 2), entry(1, Content, Whole, 2)},
		{"whole ends with damage", entry(1, Content, Whole, 1), entry(1, Content, Damaged, 2), entry(1, Content, Damaged, 2)},
		{"damage of the same time", entry(1, Content, Damaged, 1), entry(1, Content, Whole, 1), entry(1, Content, Damaged, 1)},
		{"damage of the past ends", entry(1, Content, Damaged, 1), entry(1, Content, Whole, 2), entry(1, Content, Whole, 2)},
	} {
		for _, pair := range [][2]Entry{{test.a, test.b}, {test.b, test.a}} {
			s := Set{}
			s.Add(pair[:]...)
			if diff := cmp.Diff([]Entry{test.want}, s.Entries()); diff != "" {
				t.Errorf("%s: %s", test.name, diff)
			}
		}
	}
}

func TestWhatIsDue(t *testing.T) {
	s := Set{}
	s.Add(entry(1, Content, 0, 10), entry(2, Content, 0, 20), entry(3, Seen, 0, 10), entry(4, Seen, 0, 20), entry(5, Sums, 0, 20))
	for n, want := range map[int]bool{1: true, 2: false, 3: true, 4: false, 5: true, 6: false} {
		if got := s.Due(name(n), at(15)); got != want {
			t.Errorf("pack %d: due %v", n, got)
		}
	}
	if got := s.Proved(name(3), Sums); !got.IsZero() {
		t.Errorf("a sight is no proof: %v", got)
	}
	if got := s.Proved(name(5), Content); !got.IsZero() {
		t.Errorf("checksums prove no content: %v", got)
	}
	if got := s.Proved(name(1), Sums); got != at(10) {
		t.Errorf("%v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Encode(Header{}, []Entry{entry(1, Sums, 0, 1), entry(2, Content, Whole, 2)}))
	f.Add(Encode(Header{}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= sumSize { // no fuzzer finds a checksum
			binary.LittleEndian.PutUint64(b[len(b)-sumSize:], xxhash.Sum64(b[:len(b)-sumSize]))
		}
		h, entries, err := Parse(b)
		if err == nil && !bytes.Equal(Encode(h, entries)[:48], append(bytes.Clone(b[:6]), append([]byte{0, 0}, b[8:48]...)...)) {
			t.Fatal("what was parsed is encoded otherwise")
		}
		if k := errs.KindOf(err); k != "" && k != errs.Corrupt && k != errs.Invalid {
			t.Fatalf("%v", err)
		}
	})
}
