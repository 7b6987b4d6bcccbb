package storage

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/storage/vfs"
)

// Open implements Backend.
func (d *Dir) Open(ctx context.Context, name string) (Reader, error) {
	return d.open(ctx, name, d.fs.Open)
}

// OpenPast implements Past; on a file system that cannot it is Open.
func (d *Dir) OpenPast(ctx context.Context, name string) (Reader, error) {
	if past, ok := d.fs.(vfs.Past); ok {
		return d.open(ctx, name, past.OpenPast)
	}
	return d.Open(ctx, name)
}

func (d *Dir) open(ctx context.Context, name string, how func(string) (vfs.File, error)) (Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := how(d.path(name))
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	size, err := f.Size()
	if err == nil {
		err = d.here() // what is read first says which directory it is
	}
	if err != nil {
		return nil, errors.Join(d.fail("open", name, err), f.Close())
	}
	return &dirReader{d: d, name: name, f: f, size: size}, nil
}

type dirReader struct {
	d      *Dir
	name   string
	f      vfs.File
	size   int64
	mapped []byte
}

func (r *dirReader) Size() int64 { return r.size }

func (r *dirReader) ReadAt(b []byte, off int64) (int, error) {
	hold(r.d.reads, len(b))
	n, err := r.f.ReadAt(b, off)
	if err != nil && err != io.EOF {
		err = r.d.fail("read", r.name, err)
	}
	return n, err
}

// Map implements Mapper; where files cannot be mapped, the content is read.
func (r *dirReader) Map() ([]byte, error) {
	if r.mapped != nil || r.size == 0 {
		return r.mapped, nil
	}
	if m, ok := r.f.(vfs.Mapper); ok {
		b, err := m.Map(r.size)
		if err != nil {
			return nil, r.d.fail("map", r.name, err)
		}
		r.mapped = b
		return b, nil
	}
	b := make([]byte, r.size)
	if _, err := io.ReadFull(io.NewSectionReader(r, 0, r.size), b); err != nil {
		return nil, r.d.fail("read", r.name, err)
	}
	return b, nil
}

func (r *dirReader) Close() error {
	var err error
	if m, ok := r.f.(vfs.Mapper); ok && r.mapped != nil {
		err = m.Unmap(r.mapped)
		r.mapped = nil
	}
	return errors.Join(err, r.f.Close())
}

// Stat implements Stater.
func (d *Dir) Stat(ctx context.Context, name string) (Info, error) {
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	e, err := d.fs.Stat(d.path(name))
	if err != nil {
		return Info{}, d.fail("look for", name, err)
	}
	return Info{Name: name, Size: e.Size}, nil
}

// Get implements Backend.
func (d *Dir) Get(ctx context.Context, name string, limit int64) ([]byte, error) {
	r, err := d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read
	if r.Size() > limit {
		return nil, errs.New(errs.Corrupt, "repository.object-size", "read %s in %s: %d bytes are more than the %d it may have", name, d.root, r.Size(), limit)
	}
	b := make([]byte, r.Size())
	if n, err := r.ReadAt(b, 0); n < len(b) {
		if err == io.EOF {
			err = d.fail("read", name, io.ErrUnexpectedEOF)
		}
		return nil, err
	}
	return b, nil
}

// List implements Backend.
func (d *Dir) List(ctx context.Context, dir string, fn func(Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := d.fs.ReadDir(d.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		err = d.here()
	}
	if err != nil {
		return d.fail("list", dir, err)
	}
	for _, e := range entries {
		name := e.Name
		if dir != "" {
			name = dir + "/" + e.Name
		}
		switch {
		case e.Dir:
			err = d.List(ctx, name, fn)
		case strings.HasSuffix(name, partSuffix) || folderOf(name) == tmpDir:
			continue
		default:
			err = fn(Info{Name: name, Size: e.Size})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Clean implements Cleaner.
func (d *Dir) Clean(ctx context.Context, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := d.fs.ReadDir(d.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.fail("list", dir, err)
	}
	for _, e := range entries {
		name := dir + "/" + e.Name
		switch {
		case e.Dir:
			err = d.Clean(ctx, name)
		case dir == tmpDir || strings.HasSuffix(e.Name, partSuffix):
			err = d.fs.Remove(d.path(name))
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
		if err != nil {
			return d.fail("clean", name, err)
		}
	}
	return nil
}
