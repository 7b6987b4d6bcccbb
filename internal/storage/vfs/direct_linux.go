package vfs

import (
	"errors"
	"io"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// align is what offset, length and memory of a direct read must be a multiple of; no disk wants
// more.
const align = 4096

// bounce is the most that one direct read takes when its caller's memory is not aligned.
const bounce = 4 << 20

// bounces are aligned buffers of bounce bytes.
var bounces = sync.Pool{New: func() any {
	b := Aligned(bounce)
	return &b
}}

// Aligned is memory of n bytes that a direct read can fill without a copy.
func Aligned(n int) []byte {
	b := make([]byte, n+align)
	skip := (align - int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))%align)) % align //nolint:gosec // the address is only looked at
	return b[skip : skip+n : skip+n]
}

// OpenPast implements Past: by direct reads where the file system has them, else by telling the
// system to forget the file's pages before and after they are read.
func (OS) OpenPast(name string) (File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return openForget(name)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &directFile{osFile: osFile{f}, size: st.Size()}, nil
}

// directFile reads with O_DIRECT.
type directFile struct {
	osFile
	size int64
}

// ReadAt implements io.ReaderAt.
func (f *directFile) ReadAt(b []byte, off int64) (n int, err error) {
	if aligned(b, off) {
		return f.fill(b, off)
	}
	p := bounces.Get().(*[]byte)
	defer bounces.Put(p)
	for n < len(b) {
		from := (off + int64(n)) &^ (align - 1)
		skip := int(off + int64(n) - from)
		want := min((skip+len(b)-n+align-1)&^(align-1), bounce)
		got, err := f.fill((*p)[:want], from)
		if got <= skip {
			if err == nil {
				err = io.EOF
			}
			return n, err
		}
		n += copy(b[n:], (*p)[skip:got])
		if err != nil && n < len(b) {
			return n, err
		}
	}
	return n, nil
}

func aligned(b []byte, off int64) bool {
	return off%align == 0 && len(b) > 0 && len(b)%align == 0 &&
		uintptr(unsafe.Pointer(unsafe.SliceData(b)))%align == 0 //nolint:gosec // as above
}

// fill reads into aligned memory. At the file's end fewer bytes come, with io.EOF.
func (f *directFile) fill(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		if off+int64(n) >= f.size {
			return n, io.EOF
		}
		got, err := unix.Pread(int(f.Fd()), b[n:], off+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, &os.PathError{Op: "read", Path: f.Name(), Err: err}
		}
		if got == 0 {
			return n, io.EOF
		}
		if n += got; n%align != 0 && n < len(b) { // the end: an unaligned rest cannot be asked for
			return n, io.EOF
		}
	}
	return n, nil
}

// forgetFile reads through the cache and keeps nothing there.
type forgetFile struct{ osFile }

func openForget(name string) (File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	g := forgetFile{osFile{f}}
	g.forget(0, 0) // all of it: what is read next comes from the disk
	return g, nil
}

// forget is advice, and nothing is wrong if it is not taken.
func (f forgetFile) forget(off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
}

// ReadAt implements io.ReaderAt.
func (f forgetFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.osFile.ReadAt(b, off)
	if n > 0 {
		f.forget(off, int64(n))
	}
	return n, err
}
