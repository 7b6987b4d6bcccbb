//go:build !unix

package node

// syncDir does nothing: directories cannot be synced here, a rename is made durable by the
// file system's journal.
func syncDir(string) error { return nil }
