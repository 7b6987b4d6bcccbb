package hostbench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"keepward/internal/errs"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs"
)

func diskStages() []stage {
	return []stage{
		{"disk, write a pack and sync", writePacks},
		{"disk, read past the cache", readPacks},
		{"disk, put a small object", putSmall},
	}
}

// packSize is that of a pack.
const packSize = 64 << 20

// onDisk runs a measurement in a new folder of o.Dir, which is gone afterwards.
func onDisk(o *Options, what string, run func(*storage.Dir) (Result, error)) (r Result, err error) {
	if o.Dir == "" {
		return Result{}, nil
	}
	dir, err := os.MkdirTemp(o.Dir, "keepward-benchmark")
	if err != nil {
		return r, errs.New(errs.KindOf(err), "benchmark.dir", "benchmark %s: %w", what, err).WithHint("name a directory that can be written, with --dir")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	d, err := storage.OpenDir(dir)
	if err != nil {
		return r, err
	}
	return run(d)
}

// writePacks writes as a mover does: a pack at a time, durable before the next.
func writePacks(ctx context.Context, o *Options) (Result, error) {
	return onDisk(o, "write", func(d *storage.Dir) (Result, error) {
		took, err := fill(ctx, d, o, max(1, int(o.DiskBytes/packSize)))
		n := max(1, o.DiskBytes/packSize)
		return Result{Unit: unitBytes, One: float64(n*packSize) / took.Seconds()}, err
	})
}

// fill writes n packs.
func fill(ctx context.Context, d *storage.Dir, o *Options, n int) (time.Duration, error) {
	began := time.Now()
	for i := range n {
		w, err := d.Create(ctx, packAt(i))
		if err != nil {
			return 0, err
		}
		for at := 0; at < packSize; at += piece {
			from := (i*packSize + at) % (len(o.Sample) - piece)
			if _, err := w.Write(o.Sample[from : from+piece]); err != nil {
				w.Abort()
				return 0, err
			}
		}
		if err := w.Commit(ctx); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

func packAt(i int) string { return fmt.Sprintf("packs/%02d/pack%d", i%4, i) }

// readPacks reads what it wrote from where it rests, one pack after another.
func readPacks(ctx context.Context, o *Options) (Result, error) {
	return onDisk(o, "read", func(d *storage.Dir) (Result, error) {
		n := max(1, int(o.DiskBytes/packSize))
		if _, err := fill(ctx, d, o, n); err != nil {
			return Result{}, err
		}
		buf := vfs.Aligned(4 * piece)
		began := time.Now()
		for i := range n {
			if err := readPack(ctx, d, packAt(i), buf); err != nil {
				return Result{}, err
			}
		}
		return Result{Unit: unitBytes, One: float64(n*packSize) / time.Since(began).Seconds()}, nil
	})
}

func readPack(ctx context.Context, d *storage.Dir, name string, buf []byte) error {
	r, err := d.OpenPast(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // only read
	for at := int64(0); at < r.Size(); at += int64(len(buf)) {
		if _, err := r.ReadAt(buf[:min(int64(len(buf)), r.Size()-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// putSmall puts objects as points are put: each durable when the call returns.
func putSmall(ctx context.Context, o *Options) (Result, error) {
	return onDisk(o, "put", func(d *storage.Dir) (r Result, err error) {
		n := 0
		r.Unit = unitOps
		r.One, err = rate(ctx, o.Each, func() (float64, error) {
			n++
			return 1, d.Put(ctx, fmt.Sprintf("points/%d", n), o.Sample[:512])
		})
		return r, err
	})
}
