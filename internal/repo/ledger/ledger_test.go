package ledger

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

var (
	repository = [16]byte{1, 2}
	attempt    = point.Attempt{3, 4}
	packs      = []pack.Key{{Attempt: attempt, Class: pack.Data, Number: 1}, {Attempt: attempt, Class: pack.Data, Number: 2}, {Attempt: attempt, Class: pack.Meta, Number: 1}}
)

// object is one of each, with its parser.
type object struct {
	name  string
	bytes []byte
	want  any
	parse func([]byte) (any, error)
}

func objects() []object {
	o := Open{Repository: repository, Attempt: attempt, Generation: 7, Term: 9}
	m := o
	m.Maintenance = true
	out := []object{
		{"writer", o.Encode(), o, func(b []byte) (any, error) { return ParseOpen(b) }},
		{"maintenance", m.Encode(), m, func(b []byte) (any, error) { return ParseOpen(b) }},
	}
	for _, k := range []ListKind{Condemned, Spared, Swept} {
		l := List{Kind: k, Repository: repository, By: attempt, Generation: 7, Term: 9, Packs: packs}
		out = append(out, object{k.String(), l.Encode(), l, func(b []byte) (any, error) { return ParseList(b, k) }})
	}
	for _, k := range []MarkKind{Deleted, Held} {
		m := Mark{Kind: k, Repository: repository, Attempt: attempt, Time: time.Unix(5, 6), Reason: "because"}
		out = append(out, object{k.String(), m.Encode(), m, func(b []byte) (any, error) { return ParseMark(b, k) }})
	}
	return out
}

func TestObjectsReadBackAsTheyWereWritten(t *testing.T) {
	for _, o := range objects() {
		got, err := o.parse(o.bytes)
		if diff := cmp.Diff(o.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, %s", o.name, err, diff)
		}
	}
}

func TestEveryFlippedBitAndEveryOtherObjectIsRefused(t *testing.T) {
	for _, o := range objects() {
		for i := range o.bytes {
			b := bytes.Clone(o.bytes)
			b[i] ^= 1 << (i % 8)
			if _, err := o.parse(b); errs.KindOf(err) != errs.Corrupt {
				t.Fatalf("%s, byte %d: %v", o.name, i, err)
			}
			if _, err := o.parse(o.bytes[:i]); errs.KindOf(err) != errs.Corrupt {
				t.Fatalf("%s, cut at %d: %v", o.name, i, err)
			}
		}
		for _, other := range objects() {
			got, err := o.parse(other.bytes)
			if err == nil && !cmp.Equal(got, other.want) {
				t.Fatalf("%s is read as %s", other.name, o.name)
			}
			if err == nil && other.name != o.name && !strings.Contains("writer maintenance", o.name) {
				t.Fatalf("%s is taken for %s", other.name, o.name)
			}
		}
	}
}

func TestAListIsSortedAndHoldsAPackOnce(t *testing.T) {
	l := List{Kind: Condemned, Packs: []pack.Key{packs[2], packs[0], packs[1]}}
	got, err := ParseList(l.Encode(), Condemned)
	if diff := cmp.Diff(packs, got.Packs); err != nil || diff != "" {
		t.Fatalf("%v, %s", err, diff)
	}
	l.Packs = append(l.Packs, packs[0])
	if _, err := ParseList(l.Encode(), Condemned); errs.CodeOf(err) != "ledger.packs" {
		t.Fatalf("one pack twice: %v", err)
	}
}

func TestALongReasonIsCutBetweenLetters(t *testing.T) {
	m := Mark{Kind: Held, Reason: strings.Repeat("ä", MaxReason)}
	b := m.Encode()
	got, err := ParseMark(b, Held)
	if err != nil || len(b) > MaxMark || got.Reason != strings.Repeat("ä", MaxReason/2) {
		t.Fatalf("%d bytes, reason of %d: %v", len(b), len(got.Reason), err)
	}
}

func FuzzParse(f *testing.F) {
	for _, o := range objects() {
		f.Add(o.bytes)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= sumSize { // no fuzzer finds a checksum
			b = end(bytes.Clone(b[:len(b)-sumSize]))
		}
		for _, o := range objects() {
			if _, err := o.parse(b); err != nil && errs.KindOf(err) != errs.Corrupt && errs.KindOf(err) != errs.Invalid {
				t.Fatalf("%s: kind %q: %v", o.name, errs.KindOf(err), err)
			}
		}
	})
}
