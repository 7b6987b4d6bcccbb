//go:build !linux

package agent

import "errors"

// systemName is not told on this system: its name and architecture say what there is.
func systemName() (system, kernel string) { return "", "" }

func memoryOfComputer() int64 { return 0 }

func volumeSize(string) (total, free int64, err error) {
	return 0, 0, errors.ErrUnsupported
}
