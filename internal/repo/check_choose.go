package repo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/proof"
	"keepward/internal/repo/seal"
)

// proofSlack is how much more than the even share is read every day where everything is to be
// proved within some days: for days without a check.
const proofSlack = 1.25

const day = 24 * time.Hour

// chosenPack is one to be read.
type chosenPack struct {
	key    pack.Key
	size   int64
	proved time.Time // zero: never
}

// listPacks lists what is there, chooses what is read, and notes what was not seen before.
func (c *checker) listPacks(ctx context.Context) error {
	infos, err := c.r.list(ctx, packsDir)
	if err != nil {
		return err
	}
	c.there = make(map[pack.Key]int64, len(infos))
	for _, info := range infos {
		a, class, number, err := parsePackName(info.Name)
		if err != nil {
			c.find(Finding{Object: "pack", Name: info.Name, Code: "pack.name", Text: err.Error(), Repaired: "nothing refers to it"})
			continue
		}
		c.there[pack.Key{Attempt: a, Class: class, Number: number}] = info.Size
	}
	c.report.Packs = int64(len(c.there))
	if c.known, err = c.r.Proofs(ctx); err != nil {
		return err
	}
	c.choose()
	for _, p := range c.chosen {
		c.total += p.size
	}
	for k := range c.there {
		if _, ok := c.known[k]; !ok {
			c.proofs = append(c.proofs, proof.Entry{Pack: k, Level: proof.Seen, Time: c.opts.Time})
		}
	}
	return nil
}

// level is what this check can prove of a pack.
func (c *checker) level() proof.Level {
	if c.opts.ReadData && c.opts.keyed() {
		return proof.Content
	}
	return proof.Sums
}

// choose says which packs are read, in the order of their proofs, the oldest first, and those
// that have none before all. A check without data looks at all of them.
func (c *checker) choose() {
	all := make([]chosenPack, 0, len(c.there))
	var bytes int64
	for k, size := range c.there {
		all = append(all, chosenPack{key: k, size: size, proved: c.known.Proved(k, c.level())})
		bytes += size
	}
	slices.SortFunc(all, func(a, b chosenPack) int {
		return cmp.Or(a.proved.Compare(b.proved), a.key.Compare(b.key))
	})
	if !c.opts.ReadData {
		c.chosen = all
		return
	}
	most := c.share(bytes)
	for _, p := range all {
		switch {
		case !c.opts.Since.IsZero() && !p.proved.Before(c.opts.Since):
			most -= p.size // an earlier attempt of this check read it
		case c.opts.OlderThan > 0 && p.proved.After(c.opts.Time.Add(-c.opts.OlderThan)):
		case most > 0 || c.mustNow(p.key):
			c.chosen = append(c.chosen, p)
			most -= p.size
		}
	}
}

// share is how many bytes of all are read.
func (c *checker) share(bytes int64) int64 {
	switch {
	case c.opts.ProofDays > 0:
		return max(int64(float64(bytes)*min(proofSlack/float64(c.opts.ProofDays), 1)), 1)
	case c.opts.Sample > 0:
		return max(int64(float64(bytes)*min(c.opts.Sample, 1)), 1)
	}
	return bytes + 1 // empty packs too
}

// mustNow tells whether a pack would be due before this kind of check comes again.
func (c *checker) mustNow(k pack.Key) bool {
	return c.opts.ProofDays > 0 && c.known.Due(k, c.opts.Time.Add(-time.Duration(c.opts.ProofDays-1)*day))
}

// need is a record that a point needs, at one of its places, in a pack that was chosen.
type need struct {
	rank           uint32 // of the pack among the chosen
	offset, length uint32
	kind           seal.Kind
	marked         bool // as damaged
	h              seal.H
}

const neededSize = 4 + 4 + 4 + 1 + 32

// append encodes n so that needs sort by rank and offset.
func (n need) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, n.rank)
	b = binary.BigEndian.AppendUint32(b, n.offset)
	b = binary.BigEndian.AppendUint32(b, n.length)
	kind := byte(n.kind)
	if n.marked {
		kind |= markedKind
	}
	b = append(b, kind)
	return append(b, n.h[:]...)
}

func parseNeed(b []byte) need {
	return need{
		rank: binary.BigEndian.Uint32(b), offset: binary.BigEndian.Uint32(b[4:]), length: binary.BigEndian.Uint32(b[8:]),
		kind: seal.Kind(b[12] &^ markedKind), marked: b[12]&markedKind != 0, h: seal.H(bytes.Clone(b[13:])),
	}
}
