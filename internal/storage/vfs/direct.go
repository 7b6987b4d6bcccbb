package vfs

// Past is a FS that can open files to be read past the system's cache: so that reading all of
// them shows what the disk holds, and costs others nothing of what they keep in memory.
type Past interface {
	// OpenPast opens a file. What was written and synced is seen, whatever the cache holds.
	OpenPast(name string) (File, error)
}
