package chunk

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zeebo/blake3"

	"keepward/internal/repo/seal"
)

func testKey(b byte) seal.Secret {
	var s seal.Secret
	for i := range s {
		s[i] = b + byte(i)
	}
	return s
}

func random(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func cuts(c *Chunker, data []byte) []int {
	var out []int
	for len(data) > 0 {
		n := c.Cut(data)
		out = append(out, n)
		data = data[n:]
	}
	return out
}

// The vectors are format: if this fails, old repositories stop deduplicating.
func TestCutsAreThoseOfTheFormat(t *testing.T) {
	data := make([]byte, 8<<20)
	d := blake3.New()
	_, _ = d.WriteString("keepward chunker vector 1")
	_, _ = d.Digest().Read(data)
	got := cuts(New(testKey(1)), data)
	want := vector1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("cut points differ (-want +got):\n%s\nfirst bytes of the data: %s", diff, hex.EncodeToString(data[:8]))
	}
}

func TestAverageIsOneMebibyteOnRandomData(t *testing.T) {
	n := len(cuts(New(testKey(1)), random(256<<20, 7)))
	if avg := 256 * 1024 / n; avg < 960 || avg > 1090 {
		t.Errorf("average chunk is %d KiB, want 1024 within 6 %%", avg)
	}
}

func TestBoundsHold(t *testing.T) {
	for name, data := range map[string][]byte{
		"random": random(32<<20, 3), "zeros": make([]byte, 16<<20), "short": random(1000, 1),
		"text": bytes.Repeat([]byte("all work and no play makes jack a dull boy\n"), 400_000),
	} {
		list := cuts(New(testKey(1)), data)
		for i, n := range list {
			if n > Max || n < Min && i < len(list)-1 {
				t.Errorf("%s: chunk %d of %d has %d bytes", name, i, len(list), n)
			}
		}
	}
}

func TestAnInsertionMovesOnlyCutsNearIt(t *testing.T) {
	c, data := New(testKey(1)), random(64<<20, 5)
	shifted := append(append(bytes.Clone(data[:20<<20]), []byte("some words more")...), data[20<<20:]...)
	known := map[string]bool{}
	for d := data; len(d) > 0; {
		n := c.Cut(d)
		known[string(d[:n])], d = true, d[n:]
	}
	fresh := 0
	for d := shifted; len(d) > 0; {
		n := c.Cut(d)
		if !known[string(d[:n])] {
			fresh += n
		}
		d = d[n:]
	}
	if fresh > 3*Max {
		t.Errorf("%d bytes are in unknown chunks after an insertion of 15", fresh)
	}
}

func TestASearchInPiecesCutsWhereOneInAWholeDoes(t *testing.T) {
	c := New(testKey(1))
	data := append(random(9<<20, 11), make([]byte, 5<<20)...) // the last chunks have no border of their own
	data = append(data, random(1<<20, 12)...)
	for _, step := range []int{4096, 100_003, Min, Normal, Max, 20 << 20} {
		var got []int
		rest, have := data, 0
		var s Search
		for len(rest) > 0 {
			n, found := c.Resume(&s, rest[:have])
			if !found && have < len(rest) {
				have = min(have+step, len(rest))
				continue
			}
			got, rest, have, s = append(got, n), rest[n:], have-n, Search{}
		}
		if diff := cmp.Diff(cuts(c, data), got); diff != "" {
			t.Errorf("in steps of %d (-whole +pieces):\n%s", step, diff)
		}
	}
}

// What belongs to a stretch that is no chunk may show only after it was looked at.
func TestASearchTakesBackWhatWasTooMuch(t *testing.T) {
	c, data := New(testKey(1)), random(Normal, 5)
	var s Search
	if n, found := c.Resume(&s, data[:Min+1000]); found || n != Min+1000 {
		t.Fatalf("%d bytes, found %v", n, found)
	}
	if n, found := c.Resume(&s, data[:Min+10]); found || n != Min+10 {
		t.Errorf("of fewer: %d bytes, found %v", n, found)
	}
}

func TestAnotherKeyCutsElsewhere(t *testing.T) {
	data := random(16<<20, 9)
	if cmp.Equal(cuts(New(testKey(1)), data), cuts(New(testKey(2)), data)) {
		t.Error("two keys gave the same cuts")
	}
}

func BenchmarkCut(b *testing.B) {
	c, data := New(testKey(1)), random(64<<20, 5)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		cuts(c, data)
	}
}

func TestScanIsTheHashByteByByte(t *testing.T) {
	c := New(testKey(1))
	data := random(1<<16, 7)
	const mask = uint64(1<<7-1) << (64 - 7) // a cut in 128 bytes, so that each place of the loop is met
	for from := range 600 {
		rest := data[from*100 : from*100+from%97*5]
		h := uint64(from)
		want, wantCut := 0, false
		for i, b := range rest {
			h = h<<1 + c.gear[b]
			want = i + 1
			if wantCut = h&mask == 0; wantCut {
				break
			}
		}
		got := uint64(from)
		n, cut := c.scan(rest, &got, mask)
		if n != want || cut != wantCut || !cut && got != h {
			t.Fatalf("of %d bytes it takes %d, cut %v, hash %x; want %d, %v, %x", len(rest), n, cut, got, want, wantCut, h)
		}
	}
}
