package pack

import (
	"bytes"
	"cmp"

	"keepward/internal/repo/point"
)

// Key names a pack of a repository. A name is used once: what was deleted never comes back.
type Key struct {
	Attempt point.Attempt
	Class   Class
	Number  uint32
}

// Compare orders keys by attempt, class and number.
func (k Key) Compare(o Key) int {
	if c := bytes.Compare(k.Attempt[:], o.Attempt[:]); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(k.Class, o.Class), cmp.Compare(k.Number, o.Number))
}
