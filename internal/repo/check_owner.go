package repo

import (
	"encoding/hex"
)

// nameOwners says of every finding in a pack whose attempt stored it: garbage that one computer
// stored is not damage of another's.
func (c *checker) nameOwners() {
	for i := range c.report.Findings {
		f := &c.report.Findings[i]
		a, _, _, err := parsePackName(f.Name)
		if err != nil {
			continue
		}
		owner := c.r.ownerOf(a)
		switch name := c.names[owner]; {
		case name != "":
			f.Owner = name
		case owner != [16]byte{}:
			f.Owner = hex.EncodeToString(owner[:])
		}
	}
}
