package seal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

// seven is a bundle of seven members, of which the fifth is empty.
func seven(t *testing.T, hs *Hasher) (content []byte, h H) {
	t.Helper()
	var w BundleWriter
	for i := range 7 {
		part := bytes.Repeat([]byte(fmt.Sprintf("member %d ", i)), 50*(i%5))
		if i == 4 {
			part = nil
		}
		w.Add(hs, part)
	}
	content, h = w.Finish(hs)
	return bytes.Clone(content), h
}

func TestMembersAreTakenOutUnderTheSameID(t *testing.T) {
	keys := testKeys("web1")
	hs := keys.NewHasher()
	content, h := seven(t, hs)
	for name, c := range map[string]struct {
		keep, want []int
	}{
		"some":     {[]int{1, 3}, []int{1, 3}},
		"the last": {[]int{6}, []int{6}},
		"none":     {nil, nil},
		"all":      {[]int{0, 1, 2, 3, 4, 5, 6}, []int{0, 1, 2, 3, 4, 5, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := ParseBundle(content)
			if err != nil {
				t.Fatal(err)
			}
			less := whole.Without(nil, func(i int) bool { return slices.Contains(c.keep, i) })
			rec, got, err := sealAndOpen(t, keys, h, less)
			if err != nil || !bytes.Equal(got, less) || !rec.Punched || rec.ID != h.ID() {
				t.Fatalf("%+v, %v", rec, err)
			}
			b, err := ParseBundle(got)
			if err != nil || !b.Punched() || b.Len() != whole.Len() {
				t.Fatalf("%d members, %v", b.Len(), err)
			}
			for i := range b.Len() {
				held := slices.Contains(c.want, i) || whole.Size(i) == 0 // empty ones stay
				if b.Holds(i) != held || b.Hash(i) != whole.Hash(i) || b.Size(i) != whole.Size(i) {
					t.Errorf("member %d: %v, %d bytes", i, b.Holds(i), b.Size(i))
				}
				if held && !bytes.Equal(b.Member(i), whole.Member(i)) || !held && b.Member(i) != nil {
					t.Errorf("member %d is %q", i, b.Member(i))
				}
			}
		})
	}
}

func TestMembersAreTakenOutOfWhatIsLeft(t *testing.T) {
	hs := testKeys("web1").NewHasher()
	content, h := seven(t, hs)
	whole, _ := ParseBundle(content)
	first, err := ParseBundle(whole.Without(nil, func(i int) bool { return i != 1 }))
	if err != nil {
		t.Fatal(err)
	}
	both := first.Without(nil, func(i int) bool { return i != 3 })
	_, got, err := sealAndOpen(t, testKeys("web1"), h, both)
	if err != nil {
		t.Fatal(err)
	}
	at := whole.Without(nil, func(i int) bool { return i != 1 && i != 3 })
	if diff := cmp.Diff(at, got); diff != "" {
		t.Fatal(diff)
	}
}

// What reads must not take a missing member for an empty one, nor rely on the bit of the codec
// alone.
func TestMissingMembersAreTold(t *testing.T) {
	keys := testKeys("web1")
	hs := keys.NewHasher()
	content, h := seven(t, hs)
	whole, _ := ParseBundle(content)
	rec, _, err := sealAndOpen(t, keys, h, whole.Without(nil, func(i int) bool { return i == 2 }))
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if _, b, err := o.OpenMembers(nil, &rec, h, []uint32{2, 4}); err != nil || !bytes.Equal(b.Member(2), whole.Member(2)) {
		t.Errorf("what is there: %v", err)
	}
	if _, _, err := o.OpenMembers(nil, &rec, h, []uint32{2, 3}); errs.CodeOf(err) != "bundle.punched" {
		t.Errorf("what is not there: %v", err)
	}
	for what, flip := range map[string]int{"codec": 5, "id": offID} {
		raw := bytes.Clone(rec.Bytes())
		raw[flip] ^= punchedCodec
		if r, err := ParseRecord(raw); err == nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	rec.Punched = false // as if nothing were bound
	if _, err := o.Open(nil, &rec, h); err == nil {
		t.Error("record and content differ in whether members are missing")
	}
}

func TestOnlyBundlesLoseMembers(t *testing.T) {
	keys := testKeys("web1")
	content := bytes.Repeat([]byte{0xff}, 100) // begins as a bundle without members would
	h := keys.NewHasher().Hash(KindData, content)
	s, err := NewSealer(keys, CompressFast)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Seal(nil, KindData, h, nil, content)
	if err != nil {
		t.Fatal(err)
	}
	if rec, err := ParseRecord(raw); err != nil || rec.Punched {
		t.Fatalf("%+v, %v", rec, err)
	}
}

func sealAndOpen(t *testing.T, keys *Keys, h H, content []byte) (Record, []byte, error) {
	t.Helper()
	s, err := NewSealer(keys, CompressZstd)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Seal(nil, KindBundle, h, nil, content)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := ParseRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	got, err := o.Open(nil, &rec, h)
	return rec, got, err
}
