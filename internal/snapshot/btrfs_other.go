//go:build !linux

package snapshot

import "context"

// BtrfsDir is the directory in the topmost subvolume that has our snapshots.
const BtrfsDir = ".keepward-snapshots"

// btrfs is there on Linux only.
type btrfs struct{ none }

// NewBtrfs makes a provider that fits nothing.
func NewBtrfs() Provider { return btrfs{} }

func (btrfs) Kind() Kind { return Btrfs }

func (btrfs) Fits(context.Context, Volume) error {
	return &Unfit{Why: "it is no btrfs", Other: true}
}
