package snapshot

import (
	"os"

	"keepward/internal/fsid"
)

// deviceOf is the number of the file system that is mounted at a place; 0: it has none that lasts.
func deviceOf(mount string) uint64 {
	f, err := os.Open(mount)
	if err != nil {
		return 0
	}
	defer f.Close()
	return fsid.Of(int(f.Fd()))
}
