package repo

import (
	"context"

	"keepward/internal/repo/point"
)

// PointNames lists the attempts under whose names a point or a tombstone stands, without reading
// any. Names that are none are left out. Everything reported is durable.
func (r *Repository) PointNames(ctx context.Context) ([]point.Attempt, error) {
	infos, err := r.list(ctx, pointsDir)
	if err != nil {
		return nil, err
	}
	out := make([]point.Attempt, 0, len(infos))
	for _, info := range infos {
		if a, err := point.ParseAttempt(info.Name[len(pointsDir)+1:]); err == nil {
			out = append(out, a)
		}
	}
	return out, nil
}
