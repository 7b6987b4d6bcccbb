package sweep

import (
	"context"

	"keepward/internal/repo"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// found is a row and where it stands.
type found struct {
	at
	segment.Row
}

// walk calls fn for every id of the segments, in order, with all its rows. It reads each
// segment once, side by side. rows are fn's until it returns.
func walk(ctx context.Context, segs []repo.IndexSegment, fn func(id *seal.ID, rows []found) error) error {
	plain := make([]*segment.Segment, len(segs))
	for i := range segs {
		plain[i] = segs[i].Segment
	}
	side, err := segment.ReadTogether(plain)
	if err != nil {
		return err
	}
	var rows []found
	take := func(part int, number uint32, row *segment.Row) {
		rows = append(rows, found{at{uint32(part), number}, *row})
	}
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		rows = rows[:0]
		id, ok, err := side.Next(take)
		if err != nil || !ok {
			return err
		}
		if err := fn(&id, rows); err != nil {
			return err
		}
	}
}
