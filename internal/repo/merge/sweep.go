package merge

import (
	"context"

	"keepward/internal/repo"
	"keepward/internal/repo/sweep"
)

// Joiner is the sweep's Merger.
type Joiner struct {
	Repository *repo.Repository
	Options    Options
	// Damaged, if set, is told of segments that could not be read.
	Damaged func(name string)
}

// Merge implements sweep.Merger.
func (j *Joiner) Merge(ctx context.Context) (sweep.Merged, error) {
	result, err := Run(ctx, j.Repository, j.Options)
	if j.Damaged != nil {
		for _, name := range result.Damaged {
			j.Damaged(name)
		}
	}
	return sweep.Merged{Removed: result.Merged, Left: result.After}, err
}
