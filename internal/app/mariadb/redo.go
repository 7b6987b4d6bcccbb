package mariadb

import (
	"encoding/binary"
	"os"
)

// checkpoints are what the two places of the header of a redo log say; one of them is the last.
func checkpoints(path string) ([]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	read := func(at int64) (uint64, error) {
		b := make([]byte, 8)
		_, err := f.ReadAt(b, at)
		return binary.BigEndian.Uint64(b), err
	}
	// Since 10.8 the format begins with "Phys", and the header has its checkpoints at 4096 and 8192;
	// before, they were at 512 and 1536, each behind its number.
	head, err := read(0)
	if err != nil {
		return nil, err
	}
	places := []int64{512 + 8, 1536 + 8}
	if head>>32 == 0x50687973 {
		places = []int64{4096, 8192}
	}
	var out []uint64
	for _, at := range places {
		lsn, err := read(at)
		if err != nil {
			return nil, err
		}
		out = append(out, lsn)
	}
	return out, nil
}
