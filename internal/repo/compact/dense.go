package compact

import (
	"cmp"
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
)

// Recompression says how records are made denser while they are copied. Packs that were
// written with the fast codec are then written anew for that alone.
type Recompression struct {
	// Keys, IssueKey and ComputersKey open all that points need.
	Keys         *seal.Keys
	IssueKey     seal.Secret
	ComputersKey *seal.ComputersKey
	// Level is how hard to try; empty: seal.CompressHigh.
	Level seal.Compression
}

const (
	// maxWanted chunks are taken up for this in one run: 25 MiB of memory, and 100 GiB of usual
	// chunks. Other packs wait for the next.
	maxWanted = 1 << 18
	// dense: what does not shrink by 3 % stays as it is.
	dense = 0.97
)

// denser re-compresses. What it has no h for stays as it is. It belongs to one run.
type denser struct {
	hashes *hashes
	sealer *seal.Sealer
	plain  []byte
	sealed []byte
}

// loosened leaves those loose packs out of all that would not shrink.
func (c *run) loosened(ctx context.Context, all []candidate) ([]candidate, error) {
	if !slices.ContainsFunc(all, func(p candidate) bool { return p.loose }) {
		return all, nil
	}
	var err error
	if c.dense, err = c.newDenser(); err != nil {
		return nil, err
	}
	out := all[:0]
	for _, p := range all {
		if p.loose {
			p.loose = c.dense.pays(ctx, c.r, p)
		}
		if p.loose || c.o.thin(p.Pack, p.hollow) || c.o.small(p.Pack) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (c *run) newDenser() (*denser, error) {
	sealer, err := seal.NewSealer(c.o.Recompress.Keys, c.o.Recompress.level())
	return &denser{hashes: c.known, sealer: sealer}, err
}

func (k *Recompression) level() seal.Compression { return cmp.Or(k.Level, seal.CompressHigh) }

// pays tells whether a loose pack shrinks: its first record that can be opened stands for all.
// If it did not, the pack would be written anew in every run.
func (d *denser) pays(ctx context.Context, r *repo.Repository, p candidate) bool {
	in, err := openInput(ctx, r, p)
	if err != nil {
		return false
	}
	defer in.close()
	if len(in.entries) == 0 {
		return false
	}
	first := []item{{entry: in.entries[0]}}
	rec, err := in.record(first, 0)
	if err != nil || rec.Codec != seal.CodecS2 {
		return false
	}
	_, changed, _, err := d.record(&rec)
	return err == nil && changed
}

// record answers the record to be written for rec: a denser one, or rec itself. opened tells
// that the content was seen to match its id. An error is errs.Corrupt: it does not match.
func (d *denser) record(rec *seal.Record) (out seal.Record, changed, opened bool, err error) {
	h, ok := d.hashes.of(rec.ID)
	if !ok || rec.Codec == seal.CodecZstd {
		return *rec, false, false, nil
	}
	d.plain, err = d.hashes.opener.Open(d.plain, rec, h)
	if errs.KindOf(err) == errs.Corrupt {
		return *rec, false, false, err
	}
	if err != nil { // an epoch that is not among these keys
		return *rec, false, false, nil
	}
	refs := make([]seal.ID, rec.NumRefs())
	for i := range refs {
		refs[i] = rec.Ref(i)
	}
	d.sealed, err = d.sealer.Seal(d.sealed[:0], rec.Kind, h, refs, d.plain)
	if err != nil {
		return *rec, false, false, err
	}
	if float64(len(d.sealed)) > dense*float64(rec.Len()) {
		return *rec, false, true, nil
	}
	out, err = seal.ParseRecord(d.sealed)
	return out, err == nil, err == nil, err
}

// loose tells whether a pack begins with a record of the fast codec.
func loose(ctx context.Context, r *repo.Repository, k pack.Key) bool {
	rd, err := r.Backend().Open(ctx, repo.PackName(k.Attempt, k.Class, k.Number))
	if err != nil {
		return false
	}
	defer rd.Close() //nolint:errcheck // only read
	b := make([]byte, seal.HeaderSize)
	if n, _ := rd.ReadAt(b, pack.HeaderSize); n < len(b) {
		return false
	}
	codec, err := seal.HeaderCodec(b)
	return err == nil && codec == seal.CodecS2
}
