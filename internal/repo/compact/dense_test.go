package compact

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
)

// words are n files of text that zstd packs closer than S2.
func words(n int, seed uint64) map[string]string {
	rng := rand.New(rand.NewPCG(seed, 9))
	files := map[string]string{}
	for i := range n {
		var b strings.Builder
		for b.Len() < 3000 {
			fmt.Fprintf(&b, "%c%c%c ", 'a'+rng.IntN(8), 'a'+rng.IntN(4), 'a'+rng.IntN(8))
		}
		files[fmt.Sprintf("text%d", i)] = b.String()
	}
	return files
}

func (l *lab) recompression() *Recompression {
	return &Recompression{Keys: l.s.Keys("sweep"), IssueKey: l.s.Master.IssueKey(), ComputersKey: computersKey(l.s)}
}

func computersKey(s *repotest.Site) *seal.ComputersKey {
	k := s.Master.ComputersKey()
	return &k
}

func TestFastPacksAreMadeDense(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	l.backup(1, "web1", words(20, 1)) // the kit's level is fast
	l.backup(2, "db1", repotest.Files(20, 2500, 2))
	before := l.size()
	none, err := l.compact(nil)
	if err != nil || len(none.Condemn) > 0 {
		t.Fatalf("without being told to: %+v, %v", none, err)
	}
	result, err := l.compact(func(o *Options) { o.Recompress = l.recompression() })
	must(t, err)
	if len(result.Condemn) < 3 || result.SavedBytes < before/20 || result.ReadBytes-result.WrittenBytes != result.SavedBytes {
		t.Fatalf("%d bytes before, %+v", before, result)
	}
	for _, k := range result.Condemn {
		if k.Attempt != repotest.Attempt(1) {
			t.Fatalf("%+v does not shrink", k)
		}
	}
	l.remove(result.Condemn)
	l.intact()
	r := l.open()
	dense := 0
	for id := range live(t, r) {
		at, _ := r.Lookup(ctx, id)
		rec, err := r.ReadRecord(ctx, at, nil)
		must(t, err)
		if at.Attempt != repotest.Attempt(700) {
			continue
		}
		if dense++; !at.Proved() || rec.Codec == seal.CodecS2 {
			t.Fatalf("%+v: codec %d", at, rec.Codec)
		}
	}
	if dense < 20 {
		t.Fatalf("%d records", dense)
	}
	again, err := l.compact(func(o *Options) { o.Attempt, o.Recompress = repotest.Attempt(701), l.recompression() })
	if err != nil || len(again.Condemn) > 0 || again.WrittenBytes > 0 {
		t.Fatalf("again: %+v, %v", again, err)
	}
}

// A record whose checksum is right and whose content is not what its id says is no good
// record: it is found when it is opened.
func TestWrongContentIsNotMadeDense(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	files := words(12, 3)
	l.backup(1, "web1", files)
	r := l.open()
	packs := uses(t, r, live(t, r))
	// A record within a pack is replaced by one that seals something else. Not the first: if
	// that does not open, the pack is left alone.
	keys := l.s.Keys("web1")
	var h seal.H
	var at repo.Location
	for _, content := range files {
		h = keys.NewHasher().Hash(seal.KindData, []byte(repotest.Cut(content, 1000)[0]))
		if at, _ = r.Lookup(ctx, h.ID()); at.Offset > pack.HeaderSize {
			break
		}
	}
	sealer, err := seal.NewSealer(keys, seal.CompressFast)
	must(t, err)
	var bad []byte
	for i := 0; len(bad) != int(at.Length); i++ { // as long as the good one
		if i > 5000 {
			t.Skip("no other content of the same sealed length was found")
		}
		content := []byte(repotest.Cut(words(1, uint64(100+i))["text0"], 1000)[0])
		bad, err = sealer.Seal(nil, seal.KindData, h, nil, content)
		must(t, err)
	}
	overwrite(t, l, at, bad)
	fresh := l.open()
	o := l.options(t, fresh)
	o.Recompress = l.recompression()
	result, err := Run(ctx, fresh, packs, o)
	must(t, err)
	if len(result.Damaged) != 1 || result.Damaged[0].ID != h.ID() || errs.KindOf(result.Damaged[0].Err) != errs.Corrupt || len(result.Kept) != 1 {
		t.Fatalf("%+v", result)
	}
	for _, k := range result.Condemn {
		if k == at.PackKey() {
			t.Fatal("its pack is given up")
		}
	}
}

// overwrite changes the bytes of a record on the disk, bit by bit.
func overwrite(t testing.TB, l *lab, at repo.Location, with []byte) {
	t.Helper()
	was := []byte(record(t, l.open(), at))
	for i := range with {
		for bit := range uint8(8) {
			if (was[i]^with[i])>>bit&1 != 0 {
				must(t, l.m.Flip("/r/"+at.PackName(), int(at.Offset)+i, bit))
			}
		}
	}
	if !bytes.Equal([]byte(record(t, l.open(), at)), with) {
		t.Fatal("it was not overwritten")
	}
}

// Without the keys of a computer its chunks are copied as they are.
func TestWhatCannotBeOpenedIsCopiedAsItIs(t *testing.T) {
	l := newLab(t)
	all := words(24, 4)
	l.backup(1, "web1", all)
	l.backup(2, "web1", some(all, false))
	l.forget(1)
	result, err := l.compact(func(o *Options) {
		o.Recompress = l.recompression()
		o.Recompress.ComputersKey = &seal.ComputersKey{}
	})
	must(t, err)
	if len(result.Condemn) == 0 || result.SavedBytes != 0 || len(result.Damaged) > 0 {
		t.Fatalf("%+v", result)
	}
	l.remove(result.Condemn)
	l.intact()
}
