package track

import (
	"errors"
	"io"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// Missed calls fn for each of some paths, which come in the order of the index, of which c says
// nothing: neither of it, nor of all below a directory that it lies in.
func Missed(c source.Changed, differing func(func(path []byte) error) error, fn func(path []byte)) error {
	var at, cover []byte
	covers, have, over := false, false, false
	return differing(func(path []byte) error {
		for !over {
			if have && fileindex.ComparePaths(at, path) >= 0 {
				break
			}
			next, err := c.Next()
			if errors.Is(err, io.EOF) {
				over, have = true, false
				break
			}
			if err != nil {
				return err
			}
			at, have = append(at[:0], next.Path...), true
			if next.Subtree {
				cover, covers = append(cover[:0], next.Path...), true
			}
		}
		if have && fileindex.ComparePaths(at, path) == 0 || covers && below(path, cover) {
			return nil
		}
		fn(path)
		return nil
	})
}

// below tells whether a path of the index is dir or lies below it.
func below(path, dir []byte) bool {
	return len(dir) == 0 || len(path) >= len(dir) && string(path[:len(dir)]) == string(dir) && (len(path) == len(dir) || path[len(dir)] == '/')
}
