package repo

import (
	"context"
	"strconv"
)

// keptOwners stay for those who wonder which servers there were.
const keptOwners = 16

// RemoveOldOwners removes all owners but the newest few, and answers how many it removed. The
// highest term alone counts, and that stays: a server of a term that was removed may put it again,
// and finds the higher one when it reads who owns the repository, as it does after every put.
func (r *Repository) RemoveOldOwners(ctx context.Context) (int, error) {
	infos, err := r.list(ctx, ownerDir)
	if err != nil {
		return 0, err
	}
	ours := infos[:0]
	for _, info := range infos {
		term, err := strconv.ParseUint(info.Name[len(ownerDir)+1:], 10, 64)
		if err == nil && ownerName(term) == info.Name {
			ours = append(ours, info)
		}
	}
	removed := 0
	for len(ours)-removed > keptOwners {
		if err := r.remove(ctx, ours[removed].Name); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}
