//go:build !linux

package agent

// bootID cannot be told here.
func bootID() string { return "" }
