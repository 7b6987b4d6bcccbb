package seal

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func newCompressor(t testing.TB, setting Compression) *compressor {
	t.Helper()
	c := &compressor{}
	if err := c.start(setting); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProbeKnowsWhatMayShrink(t *testing.T) {
	noise := random(1 << 20)
	one := bytes.Clone(noise)
	copy(one[500<<10:], bytes.Repeat([]byte("text of one file among pictures "), 4000)) // 125 KiB
	repeats := bytes.Repeat(noise[:100], 10_000)
	for name, tc := range map[string]struct {
		content []byte
		want    bool
	}{
		"noise":                      {noise, false},
		"small noise is not probed":  {noise[:probeFrom-1], true},
		"text":                       {bytes.Repeat([]byte("the quick brown fox "), 50_000), true},
		"noise in hex":               {[]byte(hex.EncodeToString(noise[:512<<10])), true},
		"one text among pictures":    {one, true},
		"noise that repeats quickly": {repeats, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCompressor(t, CompressZstd)
			if got := c.promising(tc.content); got != tc.want {
				t.Errorf("the probe says %v", got)
			}
		})
	}
}

func TestPreferenceCountsUnderAutoAlone(t *testing.T) {
	text := bytes.Repeat([]byte("the quick brown fox jumps. "), 10_000)
	for setting, want := range map[Compression][2]Codec{ // well, quickly
		CompressAuto: {CodecZstd, CodecS2},
		CompressFast: {CodecS2, CodecS2},
		CompressZstd: {CodecZstd, CodecZstd},
		CompressHigh: {CodecZstd, CodecZstd},
		CompressNone: {CodecRaw, CodecRaw},
	} {
		t.Run(string(setting), func(t *testing.T) {
			c := newCompressor(t, setting)
			for i, quick := range []bool{false, true, false} {
				c.PreferSpeed(quick)
				if _, got := c.compress(text); got != want[i%2] {
					t.Errorf("asked for speed %v it takes codec %d, want %d", quick, got, want[i%2])
				}
			}
		})
	}
}

// BenchmarkCompress is the stage between hash and seal, over a text of a small vocabulary and
// over noise.
func BenchmarkCompress(b *testing.B) {
	noise := random(1 << 20)
	var text []byte
	for i := 0; len(text) < 1<<20; i++ {
		w := int(noise[i]) * 37 % 4000
		text = append(append(text, noise[w:w+2+int(noise[i])%7]...), ' ')
	}
	for name, content := range map[string][]byte{"text": text, "noise": noise} {
		for _, setting := range []Compression{CompressFast, CompressZstd, CompressHigh} {
			b.Run(name+"/"+string(setting), func(b *testing.B) {
				c := newCompressor(b, setting)
				out := 0
				b.SetBytes(int64(len(content)))
				for b.Loop() {
					small, _ := c.compress(content)
					out = len(small)
				}
				b.ReportMetric(float64(out)/float64(len(content)), "ratio")
			})
		}
	}
}

func BenchmarkHash(b *testing.B) {
	hs := testKeys("web1").NewHasher()
	for name, size := range map[string]int{"1KiB": 1 << 10, "16KiB": 16 << 10, "1MiB": 1 << 20} {
		content := random(size)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				hs.Hash(KindData, content)
			}
		})
	}
}

func BenchmarkBorder(b *testing.B) {
	hs := testKeys("web1").NewHasher()
	key := []byte("srv\x00www\x00site\x00images\x00photo-0001.jpg")
	for b.Loop() {
		hs.Border(key)
	}
}

// BenchmarkBundle is a bundle of 60 files of 8 KiB: hashes of the members, header, its hash.
func BenchmarkBundle(b *testing.B) {
	hs := testKeys("web1").NewHasher()
	content := random(8 << 10)
	var w BundleWriter
	b.SetBytes(60 * int64(len(content)))
	for b.Loop() {
		w.Reset()
		for range 60 {
			w.Add(hs, content)
		}
		w.Finish(hs)
	}
}

func BenchmarkParse(b *testing.B) {
	rec, _ := sealed(b, testKeys("web1"), CompressNone, KindData, nil, random(512<<10))
	b.SetBytes(int64(len(rec)))
	for b.Loop() {
		if _, err := ParseRecord(rec); err != nil {
			b.Fatal(err)
		}
	}
}
