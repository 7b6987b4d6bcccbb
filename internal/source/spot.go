package source

import (
	"bytes"
	"path/filepath"
	"strings"
)

// spot is a directory of the tree that the paths of a view span.
type spot struct {
	children map[string]*spot // where fold is set, by the name in upper case
	fold     bool             // upper and lower case are the same
	over     *Graft
	hidden   bool
}

// spots is the tree of a view; nil: there is nothing in it.
func (v *View) spots() *spot {
	if v == nil || len(v.Grafts)+len(v.Hidden) == 0 {
		return nil
	}
	root := &spot{fold: foldsCase}
	for i := range v.Grafts {
		root.at(clean(v.Grafts[i].At)).over = &v.Grafts[i]
	}
	for _, h := range v.Hidden {
		root.at(clean(h)).hidden = true
	}
	return root
}

func clean(native string) []byte { return toPath(filepath.Clean(native)) }

// at is the spot of a path, made where there is none.
func (s *spot) at(path []byte) *spot {
	for len(path) > 0 {
		var name []byte
		name, path = cutComponent(path)
		next := s.child(name)
		if next == nil {
			if s.children == nil {
				s.children = make(map[string]*spot)
			}
			next = &spot{fold: s.fold}
			s.children[s.key(name)] = next
		}
		s = next
	}
	return s
}

func (s *spot) key(name []byte) string {
	if s.fold {
		return strings.ToUpper(string(name))
	}
	return string(name)
}

func (s *spot) child(name []byte) *spot {
	switch {
	case s == nil:
		return nil
	case s.fold:
		return s.children[s.key(name)]
	}
	return s.children[string(name)] // allocates nothing
}

func (s *spot) graft() *Graft {
	if s == nil {
		return nil
	}
	return s.over
}

func (s *spot) hides(name []byte) bool {
	c := s.child(name)
	return c != nil && c.hidden
}

// innermost is the innermost graft that a path lies in, below the root of the tree, and the path from
// there on; nil: it lies in none.
func (s *spot) innermost(path []byte) (g *Graft, rel []byte) {
	rel = path
	for rest := path; s != nil; {
		if s.over != nil {
			g, rel = s.over, rest
		}
		if len(rest) == 0 {
			break
		}
		var name []byte
		name, rest = cutComponent(rest)
		s = s.child(name)
	}
	return g, rel
}

// native is where a path is read, on a system that opens files by whole paths: at its own place, or
// below where its graft is opened.
func (s *spot) native(path []byte, separator string) string {
	g, rel := s.innermost(path)
	switch {
	case g == nil || g.From == "" && len(rel) > 0:
		return nativePath("", path, separator)
	case g.From == "":
		// A volume that is mounted there: without the separator it would be what leads to it.
		return strings.TrimSuffix(nativePath("", path, separator), separator) + separator
	}
	return nativePath(g.From, rel, separator)
}

// nativePath is what lies at a path below the directory from, in the system's notation; empty: the
// path begins with a volume, such as C:. The topmost directory of a volume ends with a separator,
// or it would be the volume itself; so does a graft's, which may be that of a snapshot.
func nativePath(from string, path []byte, separator string) string {
	p := strings.ReplaceAll(string(path), "/", separator)
	switch {
	case from != "":
		return strings.TrimRight(from, separator) + separator + p
	case strings.HasSuffix(p, ":"):
		return p + separator
	}
	return p
}

// cutDir answers what of a path lies below a directory; false: it does not lie there.
func cutDir(path, dir []byte, fold bool) (rest []byte, ok bool) {
	for len(dir) > 0 {
		if len(path) == 0 {
			return nil, false
		}
		var a, b []byte
		a, path = cutComponent(path)
		b, dir = cutComponent(dir)
		if !bytes.Equal(a, b) && !(fold && bytes.EqualFold(a, b)) {
			return nil, false
		}
	}
	return path, true
}
