//go:build !unix

package durable

// SyncDir does nothing: here directories cannot be synced, and a rename is durable with the
// file system's journal.
func SyncDir(string) error { return nil }
