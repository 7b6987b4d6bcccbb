//go:build !linux

package track

import (
	"errors"

	"keepward/internal/changes"
)

func openJournal(string, string, bool) (watcher, error) {
	return nil, errors.New("this system has no journal of changes that we read")
}

// snapshots is the tracker of a volume of which the snapshot of the parent is kept: none.
func snapshots(func() (string, error)) changes.Tracker { return nil }
