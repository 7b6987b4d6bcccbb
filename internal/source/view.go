package source

import (
	"path/filepath"
	"time"
)

// View says where a walk reads what it does not read at its own place: in snapshots. Names,
// excludes and borders of file systems are those of the places that it stands for.
type View struct {
	// Grafts may lie within each other.
	Grafts []Graft
	// Hidden are directories that are left out of what they lie in: our own snapshots.
	Hidden []string
}

// Graft is a directory that is read from elsewhere.
type Graft struct {
	// At is the absolute path of the directory that it stands for.
	At string
	// From is what is opened for it, by a path that only we can change; empty: what lies at At,
	// where the directory above is read from elsewhere.
	From string
	// Device is the number of the file system that it stands for, as fsid.Of says it; 0: that of
	// what is read.
	Device uint64
	// Taken is the moment whose state it shows, or one before; zero: it is live.
	Taken time.Time
}

// spot is a directory of the tree that the paths of a view span.
type spot struct {
	children map[string]*spot
	over     *Graft
	hidden   bool
}

// spots is the tree of a view; nil: there is nothing in it.
func (v *View) spots() *spot {
	if v == nil || len(v.Grafts)+len(v.Hidden) == 0 {
		return nil
	}
	root := &spot{}
	for i := range v.Grafts {
		root.at(v.Grafts[i].At).over = &v.Grafts[i]
	}
	for _, h := range v.Hidden {
		root.at(h).hidden = true
	}
	return root
}

// at is the spot of a path, made where there is none.
func (s *spot) at(path string) *spot {
	for rest := toPath(filepath.Clean(path)); len(rest) > 0; {
		var name []byte
		name, rest = cutComponent(rest)
		next := s.children[string(name)]
		if next == nil {
			if s.children == nil {
				s.children = make(map[string]*spot)
			}
			next = &spot{}
			s.children[string(name)] = next
		}
		s = next
	}
	return s
}

func (s *spot) child(name []byte) *spot {
	if s == nil {
		return nil
	}
	return s.children[string(name)]
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

// Place is where a directory is read: at its own place, or in the graft that is answered with it.
func (v *View) Place(path string) (from string, of Graft) {
	best := Graft{}
	if v != nil {
		for _, g := range v.Grafts {
			if below(path, g.At) && (best.At == "" || len(g.At) > len(best.At)) {
				best = g
			}
		}
	}
	if best.From == "" {
		return path, Graft{}
	}
	return filepath.Join(best.From, filepath.FromSlash(string(toPath(path)[len(toPath(best.At)):]))), best
}

// Below are the grafts within a directory, each with where it is read.
func (v *View) Below(path string) (out []Graft) {
	if v == nil {
		return nil
	}
	for _, g := range v.Grafts {
		if g.At != path && below(g.At, path) {
			if g.From == "" {
				g.From = g.At
			}
			out = append(out, g)
		}
	}
	return out
}

// Literal is a pattern that means one path and nothing else.
func Literal(path string) string { return "/" + escaped(string(toPath(path))) }
