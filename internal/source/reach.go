package source

import (
	"path/filepath"
)

// Reach tells, before a walk, which directories it will come to.
type Reach struct {
	// Include are the include paths with the symlinks above them followed, as the walk takes them.
	// What cannot be looked at is left out.
	Include []string
	filter  *Filter
}

// Reach is that of a selection.
func (s *Selection) Reach() (*Reach, error) {
	filter, err := s.Filter()
	if err != nil {
		return nil, err
	}
	r := &Reach{filter: filter}
	for _, inc := range s.Include {
		if real, err := resolveParents(filepath.Clean(inc)); err == nil && filepath.IsAbs(real) {
			r.Include = append(r.Include, real)
		}
	}
	return r, nil
}

// Real is an include path with the symlinks above it followed; false: it cannot be looked at.
func (r *Reach) Real(include string) (string, bool) {
	real, err := resolveParents(filepath.Clean(include))
	return real, err == nil
}

// Path is an absolute path as Item.Path has it.
func Path(native string) []byte { return toPath(native) }

// Above tells whether a directory is an include path, or lies above one.
func (r *Reach) Above(path string) bool {
	for _, inc := range r.Include {
		if below(inc, path) {
			return true
		}
	}
	return false
}

// Comes tells whether a walk that keeps to no file system comes to a directory: because it lies
// below an include path and no exclude names it or one on the way, or because it is above one.
func (r *Reach) Comes(path string) bool {
	if r.Above(path) {
		return true
	}
	for _, inc := range r.Include {
		if below(path, inc) && !r.excluded(toPath(inc), toPath(path)) {
			return true
		}
	}
	return false
}

// excluded tells whether a rule leaves out a directory, or one on the way to it from another.
func (r *Reach) excluded(from, path []byte) bool {
	for i := len(from) + 1; i < len(path); i++ {
		if path[i] == '/' && r.leaves(path[:i]) {
			return true
		}
	}
	return r.leaves(path)
}

func (r *Reach) leaves(path []byte) bool {
	at := nameStart(path)
	dir := path[:max(at-1, 0)]
	p := r.filter.In(dir[nameStart(dir):], func() []byte { return dir }, r.named(dir))
	return r.filter.Leaves(&p, path[at:], true) != 0
}

// named tells whether a path is an include path.
func (r *Reach) named(path []byte) bool {
	for _, inc := range r.Include {
		if string(toPath(inc)) == string(path) {
			return true
		}
	}
	return false
}

// below tells whether a path is dir or lies below it.
func below(path, dir string) bool {
	_, ok := cutDir(toPath(path), toPath(dir), foldsCase)
	return ok
}
