package parity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

type memory struct{ *bytes.Reader }

func (m memory) Size() int64 { return m.Reader.Size() }

func source(b []byte) Source { return memory{bytes.NewReader(b)} }

func header(size, percent int) Header {
	return Header{
		RepositoryID: [16]byte{1}, Pack: pack.Key{Attempt: point.Attempt{2}, Class: pack.Data, Number: 3},
		Percent: percent, Size: int64(size),
	}
}

// noise is content that a test can repeat.
func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{7})
	_, _ = r.Read(b)
	return b
}

func encode(t testing.TB, h Header, content []byte) []byte {
	t.Helper()
	object, err := Encode(h, bytes.NewReader(content))
	if err != nil || int64(len(object)) != Size(h) {
		t.Fatalf("%d bytes, %v", len(object), err)
	}
	return object
}

// mended reads a whole pack through its parity.
func mended(object, damaged []byte) ([]byte, *Mender, error) {
	o, err := Open(source(object))
	if err != nil {
		return nil, nil, err
	}
	m := o.Mender(bytes.NewReader(damaged))
	out, err := io.ReadAll(io.NewSectionReader(m, 0, o.Size))
	return out, m, err
}

func TestWhatIsDamagedIsMadeAnew(t *testing.T) {
	const size = 3<<20 + 1234 // 769 blocks in 4 rows of 193 pieces; at 5 % 10 of parity
	content := noise(size)
	l := layoutOf(header(size, 5))
	if l.rows != 4 || l.data != 193 || l.parity != 10 {
		t.Fatalf("%+v", l)
	}
	burst := l.parity * l.rows * Block // lies together, and hits no row more often than it has parity
	for _, tt := range []struct {
		name   string
		damage func(pack, object []byte) ([]byte, []byte)
		code   string
	}{
		{"nothing", func(p, o []byte) ([]byte, []byte) { return p, o }, ""},
		{"a bit", func(p, o []byte) ([]byte, []byte) { p[100_000] ^= 1; return p, o }, ""},
		{"the last byte", func(p, o []byte) ([]byte, []byte) { p[size-1] ^= 1; return p, o }, ""},
		{"as much in a row as there is parity", func(p, o []byte) ([]byte, []byte) { clear(p[:burst]); return p, o }, ""},
		{"one block more", func(p, o []byte) ([]byte, []byte) { clear(p[:burst+Block]); return p, o }, "parity.exceeded"},
		{"cut off", func(p, o []byte) ([]byte, []byte) { return p[:size-burst+2*Block], o }, ""},
		{"cut off too far", func(p, o []byte) ([]byte, []byte) { return p[:size-burst-2*Block], o }, "parity.exceeded"},
		{"a part of the parity too", func(p, o []byte) ([]byte, []byte) {
			p[0]++
			clear(o[l.parityAt(0, 0):l.parityAt(9, 0)]) // one piece of ten is left
			return p, o
		}, ""},
		{"all of the parity too", func(p, o []byte) ([]byte, []byte) {
			p[0]++
			clear(o[l.parityAt(0, 0):l.backTable()])
			return p, o
		}, "parity.exceeded"},
		{"header and front table of the parity", func(p, o []byte) ([]byte, []byte) {
			p[0]++
			clear(o[:l.parityAt(0, 0)])
			return p, o
		}, ""},
		{"back table and header", func(p, o []byte) ([]byte, []byte) { p[0]++; return p, o[:l.backTable()] }, ""},
		{"both tables", func(p, o []byte) ([]byte, []byte) {
			o[headerSize]++
			o[l.backTable()]++
			return p, o
		}, "parity.table"},
		{"both headers", func(p, o []byte) ([]byte, []byte) {
			o[9]++
			o[len(o)-1]++
			return p, o
		}, "parity.header"},
		{"another pack", func(_, o []byte) ([]byte, []byte) { return bytes.Repeat([]byte("other"), size/5), o }, "parity.exceeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, o := tt.damage(bytes.Clone(content), encode(t, header(size, 5), content))
			got, _, err := mended(o, p)
			if errs.CodeOf(err) != tt.code {
				t.Fatalf("%v, want code %q", err, tt.code)
			}
			if err == nil && !bytes.Equal(got, content) {
				t.Fatal("made anew, and not as it was")
			}
			if errs.KindOf(err) != errs.Corrupt && tt.code != "" {
				t.Fatalf("kind %s", errs.KindOf(err))
			}
		})
	}
}

func TestSmallPacksHaveParityToo(t *testing.T) {
	for _, size := range []int{1, 64, Block - 1, Block, Block + 1, 25 * Block, maxData * Block, maxData*Block + 1} {
		for _, percent := range []int{MinPercent, 5, MaxPercent} {
			content := noise(size)
			object := encode(t, header(size, percent), content)
			damaged := bytes.Clone(content)
			damaged[size/2] ^= 0x40
			got, m, err := mended(object, damaged)
			if err != nil || !bytes.Equal(got, content) || m.Made() != 1 {
				t.Fatalf("%d bytes at %d percent: %v", size, percent, err)
			}
		}
	}
}

func TestAFlippedBitOfTheParityIsNoticed(t *testing.T) {
	content := noise(3 * Block)
	object := encode(t, header(len(content), 5), content)
	o, err := Open(source(object))
	if err != nil || o.Verify() != nil {
		t.Fatalf("%v", err)
	}
	for i := range object {
		bad := bytes.Clone(object)
		bad[i] ^= 1
		o, err := Open(source(bad))
		if err == nil {
			err = o.Verify()
		}
		if errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("byte %d of %d: %v", i, len(object), err)
		}
	}
	for _, bad := range [][]byte{object[:len(object)-1], append(bytes.Clone(object), 0), nil} {
		o, err := Open(source(bad))
		if err == nil {
			err = o.Verify()
		}
		if errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("%d bytes of %d: %v", len(bad), len(object), err)
		}
	}
}

// badDisk does not give one block.
type badDisk struct{ *bytes.Reader }

func (d badDisk) ReadAt(b []byte, off int64) (int, error) {
	if off < 2*Block && off+int64(len(b)) > Block {
		return int(max(Block-off, 0)), errors.New("input/output error")
	}
	return d.Reader.ReadAt(b, off)
}

func TestWhatTheDiskDoesNotGiveIsMadeAnew(t *testing.T) {
	content := noise(10 * Block)
	o, err := Open(source(encode(t, header(len(content), 10), content)))
	if err != nil {
		t.Fatal(err)
	}
	m := o.Mender(badDisk{bytes.NewReader(content)})
	got := make([]byte, 3*Block)
	if n, err := m.ReadAt(got, 100); err != nil || n != len(got) || !bytes.Equal(got, content[100:100+len(got)]) || m.Made() != 1 {
		t.Fatalf("%d bytes, %d blocks made, %v", n, m.Made(), err)
	}
	if n, err := m.ReadAt(got, int64(len(content)-5)); n != 5 || err != io.EOF {
		t.Fatalf("behind the end: %d, %v", n, err)
	}
}

func TestAPackThatIsShorterThanSaidGetsNoParity(t *testing.T) {
	if _, err := Encode(header(1000, 5), bytes.NewReader(noise(999))); err == nil {
		t.Fatal("made of 999 bytes for a pack of 1000")
	}
	for _, h := range []Header{header(0, 5), header(MaxPack+1, 5), header(10, 0), header(10, MaxPercent+1), {Percent: 5, Size: 10}} {
		if _, err := Encode(h, bytes.NewReader(nil)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%+v: %v", h, err)
		}
	}
}

// A stranger who has only the page of the format comes to the same blocks.
func TestTheCodeIsThatOfTheFormat(t *testing.T) {
	const size = 5*Block - 7
	h := header(size, 25)
	content := noise(size)
	object := encode(t, h, content)
	l := layoutOf(h)
	padded := append(bytes.Clone(content), make([]byte, l.rows*l.data*Block-size)...)
	for p := range l.parity {
		for at := range l.rows * Block {
			var want byte
			for d := range l.data {
				want ^= multiply(inverse(byte(l.data+p)^byte(d)), padded[d*l.rows*Block+at])
			}
			if got := object[l.parityAt(p, 0)+int64(at)]; got != want {
				t.Fatalf("byte %d of piece %d is %#x, want %#x", at, p, got, want)
			}
		}
	}
}

// multiply in the field of 256 elements modulo x^8+x^4+x^3+x^2+1.
func multiply(a, b byte) (out byte) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			out ^= a
		}
		carry := a & 0x80
		a <<= 1
		if carry != 0 {
			a ^= 0x1d
		}
	}
	return out
}

func inverse(a byte) byte {
	for b := range 256 {
		if multiply(a, byte(b)) == 1 {
			return byte(b)
		}
	}
	return 0
}

func FuzzOpen(f *testing.F) {
	content := noise(9 * Block)
	damaged := bytes.Clone(content)
	clear(damaged[5*Block:])
	f.Add(encode(f, header(len(content), 25), content), damaged)
	f.Add(encode(f, header(len(content), 25), content)[:5000], damaged[:10])
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, object, p []byte) {
		o, err := Open(source(object))
		if err == nil {
			_ = o.Verify()
			b := make([]byte, 2*Block)
			_, err = o.Mender(bytes.NewReader(p)).ReadAt(b, max(o.Size-int64(len(b)), 0))
		}
		if k := errs.KindOf(err); err != nil && err != io.EOF && k != errs.Corrupt && k != errs.Invalid {
			t.Fatalf("kind %q: %v", k, err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	content := noise(64 << 20)
	for _, percent := range []int{1, 5, 10, 25} {
		b.Run(fmt.Sprintf("%d percent", percent), func(b *testing.B) {
			h := header(len(content), percent)
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(h, bytes.NewReader(content)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(Size(h)), "bytes/pack")
		})
	}
}

func BenchmarkMend(b *testing.B) {
	content := noise(64 << 20)
	object := encode(b, header(len(content), 5), content)
	damaged := bytes.Clone(content)
	clear(damaged[1<<20 : 2<<20])
	b.SetBytes(1 << 20)
	for b.Loop() {
		o, err := Open(source(object))
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 1<<20)
		if _, err := o.Mender(bytes.NewReader(damaged)).ReadAt(buf, 1<<20); err != nil || !bytes.Equal(buf, content[1<<20:2<<20]) {
			b.Fatal(err)
		}
	}
}
