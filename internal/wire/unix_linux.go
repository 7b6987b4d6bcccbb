package wire

import (
	"fmt"
	"os"
	"path/filepath"

	"keepward/internal/errs"
)

// maxSocketPath is what fits into an address, with its final zero.
const maxSocketPath = 107

// shortSocket is another name of path that fits into an address, valid until done is called.
func shortSocket(path string) (short string, done func(), err error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, errs.New(errs.KindOf(err), "socket.path", "open the folder of a socket: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}
