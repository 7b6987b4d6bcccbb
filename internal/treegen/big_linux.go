package treegen

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
)

// VMImage makes a sparse file of size bytes that looks like a disk image: extents of text,
// programs, noise and allocated zeros between holes, about half of it allocated.
func VMImage(path string, size int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		return err
	}
	r := source(seed, 1)
	const block = 4096
	for at := int64(0); at < size; {
		n := int64(block * (1 + r.IntN(1024)))
		n = min(n, size-at)
		if err := imageExtent(f, r, at, n); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		at += n
	}
	return f.Close()
}

func imageExtent(f *os.File, r *rand.Rand, at, n int64) (err error) {
	switch k := r.IntN(20); {
	case k < 10: // a hole
	case k < 12:
		_, err = f.WriteAt(make([]byte, n), at)
	case k < 15:
		_, err = f.WriteAt(noise(r, int(n)), at)
	default:
		_, err = f.WriteAt(text(r, nil, int(n)), at)
	}
	return err
}

// Page is the page size of the database-like file.
const Page = 8192

// Database makes a file of pages with a header, rows and free space, as a database keeps.
func Database(path string, size int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := source(seed, 2)
	buf := make([]byte, 0, 1<<20)
	for n := int64(0); n < size/Page; n++ {
		buf = append(buf, page(r, n)...)
		if len(buf) == cap(buf) || n == size/Page-1 {
			if _, err := f.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	return f.Close()
}

func page(r *rand.Rand, number int64) []byte {
	p := make([]byte, Page)
	if r.IntN(20) == 0 {
		return p // never used
	}
	binary.LittleEndian.PutUint64(p, r.Uint64()) // log position
	binary.LittleEndian.PutUint64(p[8:], uint64(number))
	for at := Page - 1; at > 2048+r.IntN(1024); {
		row := text(r, nil, 40+r.IntN(160))
		row = append(binary.LittleEndian.AppendUint32(nil, r.Uint32()), row...)
		if at -= len(row); at < 64 {
			break
		}
		copy(p[at:], row)
	}
	return p
}

// RewritePages rewrites the given share of a database-like file's pages in place, at random.
func RewritePages(path string, share float64, seed uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	pages := st.Size() / Page
	r := source(seed, 3)
	for range int64(float64(pages) * share) {
		n := r.Int64N(pages)
		if _, err := f.WriteAt(page(r, n), n*Page); err != nil {
			return err
		}
	}
	return f.Close()
}
