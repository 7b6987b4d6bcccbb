//go:build !unix

package pki

// syncDir does nothing: here directories cannot be synced, and a rename is durable with the
// file system's journal.
func syncDir(string) error { return nil }
