package memfs

import (
	"errors"
	"io"
	"syscall"
)

type file struct {
	fs   *FS
	name string
	n    *node
}

func (f *file) Write(b []byte) (int, error) {
	f.fs.d.mu.Lock()
	defer f.fs.d.mu.Unlock()
	fits := len(b)
	err := f.fs.change(Write, f.name)
	if errors.Is(err, ErrDead) {
		return 0, err
	}
	if err != nil {
		fits = len(b) / 2
	} else if room := f.fs.d.room(); int64(fits) > room {
		fits, err = int(room), fail(Write, f.name, syscall.ENOSPC)
	}
	f.n.content = append(f.n.content, b[:fits]...)
	f.fs.d.change()
	return fits, err
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.fs.d.mu.Lock()
	defer f.fs.d.mu.Unlock()
	if err := f.fs.look(Read, f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.content)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.content[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Sync() error {
	f.fs.d.mu.Lock()
	defer f.fs.d.mu.Unlock()
	if err := f.fs.change(Sync, f.name); err != nil {
		if !errors.Is(err, ErrDead) {
			f.n.forget()
			f.fs.d.changed++
		}
		return err
	}
	if !f.fs.d.lying && f.n.synced < len(f.n.content) {
		f.n.synced = len(f.n.content)
		f.fs.d.changed++
	}
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.d.mu.Lock()
	defer f.fs.d.mu.Unlock()
	return int64(len(f.n.content)), nil
}

func (f *file) Close() error { return nil }
