package memfs

import "io"

type file struct {
	fs   *FS
	name string
	n    *node
}

func (f *file) Write(b []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.change(Write, f.name); err != nil {
		half := len(b) / 2
		f.n.content = append(f.n.content, b[:half]...)
		return half, err
	}
	f.n.content = append(f.n.content, b...)
	return len(b), nil
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.dead {
		return 0, fail("read", f.name, ErrDead)
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
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.change(Sync, f.name); err != nil {
		return err
	}
	f.n.synced = len(f.n.content)
	return nil
}

func (f *file) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.n.content)), nil
}

func (f *file) Close() error { return nil }
