package seal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"keepward/internal/errs"
)

func testKeys(computer string) *Keys {
	m := Master{Domain: 3, Epoch: 1, Secret: Secret{1, 2, 3}}
	return m.TaskKeys([16]byte{9}, computer)
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func sealed(t testing.TB, keys *Keys, c Compression, kind Kind, refs []ID, content []byte) ([]byte, H) {
	t.Helper()
	s, err := NewSealer(keys, c)
	if err != nil {
		t.Fatal(err)
	}
	h := keys.NewHasher().Hash(kind, content)
	rec, err := s.Seal(nil, kind, h, refs, content)
	if err != nil {
		t.Fatal(err)
	}
	return rec, h
}

func TestEveryCodecOpensToWhatWasSealed(t *testing.T) {
	keys := testKeys("web1")
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog. "), 20_000)
	for _, tc := range []struct {
		name    string
		content []byte
		want    map[Compression]Codec
	}{
		{"empty", nil, nil},
		{"text", text, map[Compression]Codec{CompressFast: CodecS2, CompressZstd: CodecZstd, CompressAuto: CodecZstd, CompressHigh: CodecZstd}},
		{"random", random(300_000), nil},
		{"small", []byte("x"), nil},
	} {
		for _, c := range Compressions() {
			t.Run(tc.name+"/"+string(c), func(t *testing.T) {
				refs := []ID{{1}, {2}}
				rec, h := sealed(t, keys, c, KindNode, refs, tc.content)
				r, err := ParseRecord(append(rec, "more"...))
				if err != nil {
					t.Fatal(err)
				}
				if r.ID != h.ID() || r.Kind != KindNode || r.NumRefs() != 2 || r.Ref(1) != refs[1] || r.Len() != len(rec) || r.Codec != tc.want[c] {
					t.Errorf("record says %v, kind %v, %d refs, length %d, codec %d", r.ID, r.Kind, r.NumRefs(), r.Len(), r.Codec)
				}
				got, err := o.Open(nil, &r, h)
				if err != nil || !bytes.Equal(got, tc.content) {
					t.Errorf("opened to %d bytes, %v; want %d", len(got), err, len(tc.content))
				}
			})
		}
	}
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	keys := testKeys("web1")
	rec, h := sealed(t, keys, CompressZstd, KindNode, []ID{{1}}, bytes.Repeat([]byte("abcdefgh"), 50))
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for i := range rec {
		bad := bytes.Clone(rec)
		bad[i] ^= 0x10
		if _, err := ParseRecord(bad); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
	// Someone who mends the checksums still cannot change what the seal binds.
	for i := HeaderSize; i < len(rec)-trailerSize; i++ {
		r, err := ParseRecord(rec)
		if err != nil {
			t.Fatal(err)
		}
		r.raw = bytes.Clone(rec)
		r.raw[i] ^= 1
		r.refs, r.sealed = r.raw[HeaderSize:HeaderSize+32], r.raw[HeaderSize+32:len(rec)-trailerSize]
		if _, err := o.Open(nil, &r, h); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("byte %d changed under a mended checksum: %v", i, err)
		}
	}
}

func TestAnIDAloneOpensNothing(t *testing.T) {
	keys := testKeys("web1")
	rec, h := sealed(t, keys, CompressNone, KindData, nil, random(1000))
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	r, err := ParseRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(nil, &r, H(r.ID)); err == nil {
		t.Error("the id opened the chunk")
	}
	if h.ID() != r.ID || bytes.Contains(rec, h[:]) {
		t.Error("the record holds its own H")
	}
}

func TestKeysOfComputersDifferAndDomainsShareIDs(t *testing.T) {
	a, b := testKeys("web1"), testKeys("web2")
	if a.ComputerKey == b.ComputerKey {
		t.Error("two computers have one key")
	}
	if a.NewHasher().Hash(KindData, []byte("x")) != b.NewHasher().Hash(KindData, []byte("x")) {
		t.Error("one content has two ids within a domain")
	}
	if a.NewHasher().Hash(KindData, []byte("x")) == a.NewHasher().Hash(KindNode, []byte("x")) {
		t.Error("two kinds share an id")
	}
}

// The vectors are format: if this fails, no repository of before can be read.
func TestDerivationsAreThoseOfTheFormat(t *testing.T) {
	k := testKeys("web1")
	h := k.NewHasher().Hash(KindData, []byte("keepward"))
	id := h.ID()
	ck, err := k.chunkKey(1, h)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		got  []byte
		want string
	}{
		"h": {h[:], "1cf22dc08f32c6f1f86f4030d021ef924db3a5e4c474b68b3804429c5e5f2014"}, "id": {id[:], "574284df268961bcb3869c718e00a37f9f594eb80768c0397bb94ca0710fd035"}, "chunk key": {ck[:], "6f355e7fc5fe4a1ef52316f6406b3f7ffa866f2fbe6b1d7458b4201a9a25e05a"},
		"computer key": {k.ComputerKey[:], "bbaac08831e347f093ec6313f3cab7a0204ce18bba9c511d4bf42a1e18d1ee6b"}, "chunker key": {k.ChunkerKey[:], "155bd0c7ded3f3c8c145e7a9d71e6ee78c348386e07c703da82995c0743b43a1"},
	} {
		if got := hex.EncodeToString(v.got); got != v.want {
			t.Errorf("%s is %s, want %s", name, got, v.want)
		}
	}
	if got := k.NewHasher().Border([]byte("srv")); got != 16199662688458073648 {
		t.Errorf("border is %d", got)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	k := testKeys("web1")
	for _, s := range []string{fmt.Sprint(k.IDKey), fmt.Sprintf("%v %+v %#v", k.IDKey, H{1}, H{1})} {
		if bytes.ContainsAny([]byte(s), "0123456789") {
			t.Errorf("printed as %q", s)
		}
	}
	if _, err := k.IDKey.MarshalText(); err == nil {
		t.Error("a secret was written as text")
	}
}

func TestBundlesGiveTheirMembersBack(t *testing.T) {
	keys := testKeys("web1")
	hs := keys.NewHasher()
	members := [][]byte{[]byte("one"), nil, random(5000), []byte("four")}
	var w BundleWriter
	for range 2 { // the second round reuses the memory
		w.Reset()
		for _, m := range members {
			w.Add(hs, m)
		}
	}
	content, h := w.Finish(hs)
	s, err := NewSealer(keys, CompressZstd)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := s.Seal(nil, KindBundle, h, nil, content)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	r, err := ParseRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := o.Open(nil, &r, h)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBundle(got)
	if err != nil || b.Len() != len(members) {
		t.Fatalf("%d members, %v", b.Len(), err)
	}
	for i, m := range members {
		if !bytes.Equal(b.Member(i), m) || b.Hash(i) != hs.Hash(KindData, m) {
			t.Errorf("member %d is %q, want %q", i, b.Member(i), m)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	rec, _ := sealed(f, testKeys("web1"), CompressZstd, KindNode, []ID{{1}}, []byte("content"))
	f.Add(rec)
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := ParseRecord(b); err == nil && r.Len() > len(b) {
			t.Error("longer than what it was read from")
		}
	})
}

func FuzzParseBundle(f *testing.F) {
	var w BundleWriter
	hs := testKeys("web1").NewHasher()
	w.Add(hs, []byte("a"))
	w.Add(hs, []byte("bc"))
	c, _ := w.Finish(hs)
	f.Add(c)
	whole, _ := ParseBundle(c)
	f.Add(whole.Without(nil, func(i int) bool { return i == 1 }))
	f.Fuzz(func(t *testing.T, c []byte) {
		b, err := ParseBundle(c)
		if err != nil {
			return
		}
		total := 0
		for i := range b.Len() {
			total += len(b.Member(i))
		}
		if total > len(c) {
			t.Error("the members are longer than what they were read from")
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	keys := testKeys("web1")
	content := random(1 << 20)
	for i := range content {
		content[i] &= 0x1f // compresses as text does
	}
	for _, c := range []Compression{CompressNone, CompressFast, CompressZstd} {
		b.Run(string(c), func(b *testing.B) {
			s, err := NewSealer(keys, c)
			if err != nil {
				b.Fatal(err)
			}
			hs, dst := keys.NewHasher(), []byte(nil)
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				if dst, err = s.Seal(dst[:0], KindData, hs.Hash(KindData, content), nil, content); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkID(b *testing.B) {
	h := H{1}
	b.ReportAllocs()
	for b.Loop() {
		_ = h.ID()
	}
}

// A member with another content than its hash says harms only who wants that member.
func TestMembersOfABundleAreCheckedByThemselves(t *testing.T) {
	keys := testKeys("web1")
	var w BundleWriter
	for _, m := range []string{"one", "two", "three"} {
		w.Add(keys.NewHasher(), []byte(m))
	}
	content, h := w.Finish(keys.NewHasher())
	content[len(content)-len("three")-1]++ // the end of "two"
	s, err := NewSealer(keys, CompressNone)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := s.Seal(nil, KindBundle, h, nil, content)
	if err != nil {
		t.Fatal(err)
	}
	o, err := NewOpener(keys)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	r, err := ParseRecord(rec)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Open(nil, &r, h); errs.CodeOf(err) != "chunk.content" {
		t.Errorf("open all: %v", err)
	}
	for _, c := range []struct {
		members []uint32
		code    string
	}{{nil, ""}, {[]uint32{0, 2}, ""}, {[]uint32{2, 7}, ""}, {[]uint32{0, 1}, "chunk.content"}} {
		_, b, err := o.OpenMembers(nil, &r, h, c.members)
		if errs.CodeOf(err) != c.code {
			t.Errorf("members %v: %v, want %q", c.members, err, c.code)
		}
		if err == nil && string(b.Member(2)) != "three" {
			t.Errorf("members %v: the third is %q", c.members, b.Member(2))
		}
	}
}
