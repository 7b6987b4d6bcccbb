//go:build unix

package snapshot

import "golang.org/x/sys/unix"

// Free answers how much of the room of a file system is free, from 0 to 1.
func Free(mount string) (float64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(mount, &st); err != nil {
		return 0, err
	}
	if st.Blocks == 0 {
		return 1, nil
	}
	return float64(st.Bavail) / float64(st.Blocks), nil
}
