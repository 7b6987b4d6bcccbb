//go:build unix

package source

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// File is an open regular file.
type File struct {
	fd  int
	dir *Dir // it lies in
}

// Close closes the file. It was only read from, so nothing can be lost.
func (f File) Close() { _ = unix.Close(f.fd) }

// Stat looks at the open file.
func (f File) Stat(st *Stat) error {
	err := statFD(f.fd, st)
	f.dir.translate(st)
	return err
}

// ReadAt reads into p from offset on; it answers fewer bytes only at the file's end, and then
// no error.
func (f File) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	for n < len(p) {
		k, err := unix.Pread(f.fd, p[n:], offset+int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		if k == 0 {
			break
		}
		n += k
	}
	return n, nil
}

// ReadAll reads from the file's start into p and answers how much it got: all of p, or as much
// as the file has. One call of the system is enough for what fits.
func (f File) ReadAll(p []byte, size int) (int, error) {
	n := 0
	for n < len(p) {
		k, err := unix.Read(f.fd, p[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return n, err
		}
		n += k
		// A regular file gives less than asked for only at its end.
		if k == 0 || n == size && n < len(p) {
			break
		}
	}
	return n, nil
}

// NextData answers the next run of bytes that are not a hole, at or behind offset; io.EOF when
// there is none. Where the system does not tell, it is all of the rest.
func (f File) NextData(offset, size int64) (start, end int64, err error) {
	if offset >= size {
		return 0, 0, io.EOF
	}
	start, err = unix.Seek(f.fd, offset, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		return 0, 0, io.EOF
	case err != nil:
		return offset, size, nil
	case start >= size:
		return 0, 0, io.EOF
	}
	end, err = unix.Seek(f.fd, start, unix.SEEK_HOLE)
	if err != nil || end > size {
		end = size
	}
	return start, end, nil
}
