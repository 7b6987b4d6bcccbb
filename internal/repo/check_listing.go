package repo

import "context"

// askCheck is said of rows without a pack where nobody has looked whether a point needs them.
const askCheck = "it is left alone; a check of the repository tells whether a restore point needs it"

// Reconcile compares what the index knows with what lies in the directory, both ways, by their
// lists alone: it opens no pack and follows no point, so it takes minutes where a check takes
// hours. It changes nothing.
func (r *Repository) Reconcile(ctx context.Context, o CheckOptions) (Report, error) {
	c := r.newChecker(o)
	defer c.needed.Close()
	if err := r.Refresh(ctx); err != nil {
		return c.report, err
	}
	for _, look := range []func(context.Context) error{c.listPacks, c.countSegments, c.reconcile} {
		if err := look(ctx); err != nil {
			return c.report, err
		}
	}
	for i := range c.report.Findings {
		if f := &c.report.Findings[i]; f.Code == codePackGone {
			f.Repaired = askCheck
		}
	}
	return c.report, nil
}

func (c *checker) countSegments(context.Context) error {
	c.report.Segments = int64(len(c.r.snapshot()))
	return nil
}
