//go:build unix

package source

import (
	"strings"

	"golang.org/x/sys/unix"
)

const errNameTooLong = unix.ENAMETOOLONG

// foldsCase: a file has one name, in upper and lower case.
const foldsCase = false

// toPath is an absolute path as Item.Path has it.
func toPath(native string) []byte { return []byte(strings.TrimPrefix(native, "/")) }

// fromNative turns the separators of a pattern into slashes.
func fromNative(pattern string) string { return pattern }

func (d *Dir) statOpen(fd int, st *Stat) error {
	err := statFD(fd, st)
	d.translate(st)
	return err
}
