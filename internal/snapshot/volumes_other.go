//go:build !windows

package snapshot

import "os"

// Volumes are what is mounted here, in the order in which it was mounted. Where the system does
// not tell, it is nothing.
func Volumes() ([]Volume, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseMounts(b), nil
}

// kinds are the providers of this system, in the order in which they are tried.
func kinds(mounts string) []Provider {
	return []Provider{NewBtrfs(), NewZFS(RunCommand), NewLVM(RunCommand, mounts, "/sys"), NewNone()}
}
