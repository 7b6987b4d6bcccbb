package extract

import (
	"context"

	"keepward/internal/errs"
)

// Term is the highest term by which a server has claimed the repository; 0: none ever did.
func Term(ctx context.Context, o Options) (uint64, error) {
	s, err := open(ctx, o)
	if err != nil {
		return 0, err
	}
	owner, err := s.r.Owner(ctx)
	if err != nil && errs.KindOf(err) != errs.NotFound {
		return 0, closing(err, s.r)
	}
	return owner.Term, s.r.Close()
}
