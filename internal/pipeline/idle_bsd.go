//go:build unix && !linux

package pipeline

// idleProcessors answers the share of processors that this process may use and did not,
// since its last call. What other processes use is not known.
func idleProcessors() func() (float64, bool) { return ownIdle() }
