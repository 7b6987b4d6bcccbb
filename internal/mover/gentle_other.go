//go:build !linux

package mover

// stepBack does nothing: repositories are kept on Linux hosts.
func stepBack() error { return nil }
