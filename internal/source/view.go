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

// Place is where a directory is read: at its own place, or in the graft that is answered with it.
func (v *View) Place(path string) (from string, of Graft) {
	best, rel := Graft{}, []byte(nil)
	if v != nil {
		for _, g := range v.Grafts {
			rest, ok := cutDir(toPath(path), toPath(g.At), foldsCase)
			if ok && (best.At == "" || len(g.At) > len(best.At)) {
				best, rel = g, rest
			}
		}
	}
	if best.From == "" {
		return path, Graft{}
	}
	return filepath.Join(best.From, filepath.FromSlash(string(rel))), best
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
