//go:build !linux

package source

// Cached cannot tell what the system holds in memory.
func (File) Cached(_, _ int64) (some, ok bool) { return false, false }

// Forget does nothing: what was in memory before is not known.
func (File) Forget(_, _ int64) {}
