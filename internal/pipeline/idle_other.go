//go:build !unix

package pipeline

// idleProcessors cannot tell.
func idleProcessors() func() (float64, bool) { return func() (float64, bool) { return 0, false } }
