package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// Part is a walk of its own within a backup, of what must be read together, or after all else. Each
// name in it is a file of its own: one with several is read at each.
type Part struct {
	// Open answers what is walked.
	Open func(ctx context.Context) (source.Selection, error)
	// Rest: Open is called once all that was met before has been read.
	Rest bool
	// Strict: what is missing, or cannot be looked at, fails the backup.
	Strict bool
}

// parts are those of a run that are still to come.
type parts struct {
	r     *run
	left  []Part
	at    []byte
	taken []byte // path of the last file that was taken of a part
	open  []*source.Walker
}

func (r *run) parts() *parts {
	return &parts{r: r, left: r.opts.Parts, at: []byte(r.opts.PartsAt)}
}

// close ends the walks: what was met is read until then.
func (p *parts) close() {
	for _, w := range p.open {
		w.Close()
	}
}

// due tells whether the parts come before an item of the walk beside them.
func (p *parts) due(it *source.Item) bool {
	if len(p.left) == 0 || it.Kept != nil {
		return false
	}
	top, _, _ := bytes.Cut(it.Path, []byte{'/'})
	return bytes.Compare(top, p.at) > 0
}

// parts takes the files of all parts.
func (s *sequencer) parts(ctx context.Context, p *parts) error {
	for len(p.left) > 0 && !s.early.wished() {
		part := p.left[0]
		p.left = p.left[1:]
		if err := s.part(ctx, p, part); err != nil {
			return err
		}
	}
	if len(p.left) > 0 {
		s.early.leaveOut()
		p.left = nil
	}
	return nil
}

func (s *sequencer) part(ctx context.Context, p *parts, part Part) error {
	if part.Rest {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	sel, err := part.Open(ctx)
	if err != nil {
		return err
	}
	var bad error
	w, err := source.NewWalker(sel, func(problem source.Problem) {
		if part.Strict && problem.Level != source.Info {
			bad = errors.Join(bad, problem.Err)
			return
		}
		p.r.reports.problem(problem)
	})
	if err != nil {
		return err
	}
	p.open = append(p.open, w)
	w.SpillTo(p.r.opts.Scratch)
	for bad == nil {
		s.seat.be(atSource)
		it, err := w.Next(ctx)
		s.seat.be(atCPU)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if s.early.wished() {
			s.early.leaveOut()
			break
		}
		// The way to it was met before: by the walk beside it, or by the part before.
		if it.State&fileindex.Ancestor != 0 && (len(it.Path) == 0 || bytes.HasPrefix(append(bytes.Clone(p.taken), '/'), append(bytes.Clone(it.Path), '/'))) {
			continue
		}
		if err := s.item(ctx, w, it, nil); err != nil {
			return err
		}
		p.taken = append(p.taken[:0], it.Path...)
	}
	return bad
}

// settle waits until all that was met is read.
func (s *sequencer) settle(ctx context.Context) error {
	if err := s.finish(ctx); err != nil {
		return err
	}
	s.openGroup()
	g := s.group
	s.group = nil
	rest := make(chan struct{})
	g.rest = rest
	s.seat.be(atRest)
	defer s.seat.be(atCPU)
	select {
	case s.out <- g:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-rest:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
