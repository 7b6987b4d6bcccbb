package hostbench

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"keepward/internal/repo/chunk"
	"keepward/internal/repo/seal"
)

// worker is what one goroutine does again and again; it answers the bytes of content done.
type worker func() (float64, error)

func cpuStages() []stage {
	s := []stage{
		{"chunk", onCores(newChunk)},
		{"hash", onCores(newHash)},
	}
	for _, c := range []seal.Compression{seal.CompressNone, seal.CompressFast, seal.CompressZstd, seal.CompressHigh} {
		name := "seal, " + string(c)
		if c == seal.CompressNone {
			name = "seal, not compressed"
		}
		s = append(s, stage{name, sealing(c)})
	}
	for _, c := range []seal.Compression{seal.CompressFast, seal.CompressZstd} {
		s = append(s, stage{"open, " + string(c), onCores(func(o *Options) (worker, error) { return newOpen(o, c) })})
	}
	return s
}

// benchKeys are of no repository: the speed is the same under all.
var benchKeys = seal.Master{Domain: 1, Epoch: 1, Secret: seal.NewSecret()}.TaskKeys([16]byte{1}, "benchmark")

// onCores measures a worker alone, and one on each core.
func onCores(start func(*Options) (worker, error)) func(context.Context, *Options) (Result, error) {
	return func(ctx context.Context, o *Options) (r Result, err error) {
		r.Unit = unitBytes
		w, err := start(o)
		if err != nil {
			return r, err
		}
		if r.One, err = rate(ctx, o.Each, w); err != nil {
			return r, err
		}
		rates := make([]float64, cores())
		g, gctx := errgroup.WithContext(ctx)
		for i := range rates {
			w, werr := start(o)
			if werr != nil {
				return r, errors.Join(werr, g.Wait())
			}
			g.Go(func() (err error) {
				rates[i], err = rate(gctx, o.Each, w)
				return err
			})
		}
		err = g.Wait()
		for _, v := range rates {
			r.All += v
		}
		return r, err
	}
}

func newChunk(o *Options) (worker, error) {
	c := chunk.New(benchKeys.ChunkerKey)
	return func() (float64, error) {
		for rest := o.Sample; len(rest) > 0; rest = rest[c.Cut(rest):] {
		}
		return float64(len(o.Sample)), nil
	}, nil
}

func newHash(o *Options) (worker, error) {
	h := benchKeys.NewHasher()
	return func() (float64, error) {
		for piece := range pieces(o.Sample) {
			h.Hash(seal.KindData, piece)
		}
		return float64(len(o.Sample)), nil
	}, nil
}

// piece is the average size of a chunk.
const piece = 1 << 20

func pieces(b []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(b) > 0 {
			n := min(piece, len(b))
			if !yield(b[:n]) {
				return
			}
			b = b[n:]
		}
	}
}

// sealing measures compression and encryption together, as backups do them.
func sealing(c seal.Compression) func(context.Context, *Options) (Result, error) {
	return func(ctx context.Context, o *Options) (Result, error) {
		r, err := onCores(func(o *Options) (worker, error) { return newSeal(o, c) })(ctx, o)
		if err != nil {
			return r, err
		}
		all, err := sealed(o, c)
		for _, p := range all {
			r.Ratio += float64(len(p.record.Bytes())) / float64(len(o.Sample))
		}
		return r, err
	}
}

func newSeal(o *Options, c seal.Compression) (worker, error) {
	s, err := seal.NewSealer(benchKeys, c)
	if err != nil {
		return nil, err
	}
	h := benchKeys.NewHasher()
	var hashes []seal.H
	for p := range pieces(o.Sample) {
		hashes = append(hashes, h.Hash(seal.KindData, p))
	}
	var record []byte
	return func() (float64, error) {
		i := 0
		for p := range pieces(o.Sample) {
			var err error
			if record, err = s.Seal(record[:0], seal.KindData, hashes[i], nil, p); err != nil {
				return 0, err
			}
			i++
		}
		return float64(len(o.Sample)), nil
	}, nil
}

// sealedPiece is a piece at rest.
type sealedPiece struct {
	record seal.Record
	h      seal.H
}

// sealed is the sample as records, with the keys that open them.
func sealed(o *Options, c seal.Compression) ([]sealedPiece, error) {
	s, err := seal.NewSealer(benchKeys, c)
	if err != nil {
		return nil, err
	}
	h := benchKeys.NewHasher()
	var all []sealedPiece
	for p := range pieces(o.Sample) {
		one := sealedPiece{h: h.Hash(seal.KindData, p)}
		b, err := s.Seal(nil, seal.KindData, one.h, nil, p)
		if err != nil {
			return nil, err
		}
		if one.record, err = seal.ParseRecord(b); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func newOpen(o *Options, c seal.Compression) (worker, error) {
	all, err := sealed(o, c)
	if err != nil {
		return nil, err
	}
	opener, err := seal.NewOpener(benchKeys)
	if err != nil {
		return nil, err
	}
	var content []byte
	return func() (float64, error) {
		for i := range all {
			if content, err = opener.Open(content, &all[i].record, all[i].h); err != nil {
				return 0, err
			}
		}
		return float64(len(o.Sample)), nil
	}, nil
}
