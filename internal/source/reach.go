package source

import (
	"path/filepath"
)

// Reach tells, before a walk, which directories it will come to.
type Reach struct {
	// Include are the include paths with the symlinks above them followed, as the walk takes them.
	// What cannot be looked at is left out.
	Include []string
	match   *Matcher
}

// Reach is that of a selection.
func (s *Selection) Reach() (*Reach, error) {
	match, err := NewMatcher(s.Exclude)
	if err != nil {
		return nil, err
	}
	r := &Reach{match: match}
	for _, inc := range s.Include {
		if real, err := resolveParents(filepath.Clean(inc)); err == nil && filepath.IsAbs(real) {
			r.Include = append(r.Include, real)
		}
	}
	return r, nil
}

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

// excluded tells whether an exclude names a directory, or one on the way to it from another.
func (r *Reach) excluded(from, path []byte) bool {
	for i := len(from) + 1; i < len(path); i++ {
		if path[i] == '/' && r.match.Excluded(path[:i], true) {
			return true
		}
	}
	return r.match.Excluded(path, true)
}

// below tells whether a path is dir or lies below it.
func below(path, dir string) bool {
	d := toPath(dir)
	p := toPath(path)
	return len(d) == 0 || len(p) >= len(d) && string(p[:len(d)]) == string(d) && (len(p) == len(d) || p[len(d)] == '/')
}
