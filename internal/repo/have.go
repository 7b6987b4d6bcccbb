package repo

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// Have answers for each h whether this attempt may rely on the chunk: it stored it itself, a
// segment of the same computer tells of it, or it is proved. A chunk of another computer is
// opened and re-hashed now, if there are keys, and the proof is published with the next
// segment. Damaged and punched chunks are absent.
func (w *Writer) Have(ctx context.Context, hs []seal.H) ([]bool, error) {
	have := make([]bool, len(hs))
	ids := make([]seal.ID, len(hs))
	for i := range hs {
		ids[i] = hs[i].ID()
	}
	w.mu.Lock()
	if err := w.usable(); err != nil {
		w.mu.Unlock()
		return nil, err
	}
	for i := range ids {
		have[i] = w.held[ids[i]]
	}
	w.mu.Unlock()

	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range ids {
		if have[i] {
			continue
		}
		foreign, own, err := w.candidates(ctx, ids[i])
		if err != nil {
			return nil, joinErr(err, g.Wait())
		}
		have[i] = own
		if own || len(foreign) == 0 || w.opts.Keys == nil {
			continue
		}
		g.Go(func() error {
			ok, err := w.prove(gctx, hs[i], foreign)
			have[i] = ok
			return err
		})
	}
	return have, g.Wait()
}

// candidates tells whether a chunk may be relied on as it is, else where it could be proved.
func (w *Writer) candidates(ctx context.Context, id seal.ID) (foreign []Location, own bool, err error) {
	for _, l := range w.r.Locations(ctx, id) {
		if l.Punched() {
			continue
		}
		there, err := w.relied.may(ctx, &l)
		switch {
		case err != nil:
			return nil, false, err
		case !there:
		case l.Owner == w.opts.Owner || l.Proved() || w.whole.has(ctx, w.r, &l):
			return nil, true, nil
		default:
			foreign = append(foreign, l)
		}
	}
	return foreign, false, nil
}

// prove opens a chunk at one of the places and records what came of it.
func (w *Writer) prove(ctx context.Context, h seal.H, places []Location) (bool, error) {
	for _, l := range places {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		err := w.open(ctx, h, l)
		switch errs.KindOf(err) {
		case "":
			w.record(l, segment.Proved)
			return true, nil
		case errs.Corrupt, errs.NotFound: // other bytes, or the pack is gone
			w.record(l, segment.Damaged)
		case errs.Cancelled:
			return false, err
		}
		// Not readable now, or not with these keys: as if it were not there.
	}
	return false, nil
}

// prover opens chunks; it keeps its buffers.
type prover struct {
	opener          *seal.Opener
	record, content []byte
}

// open reads a chunk and checks that its content is what h says.
func (w *Writer) open(ctx context.Context, h seal.H, l Location) error {
	var p *prover
	select {
	case p = <-w.provers:
	default:
		o, err := seal.NewOpener(w.opts.Keys)
		if err != nil {
			return err
		}
		p = &prover{opener: o}
	}
	defer w.idle(p)
	rec, err := w.r.ReadRecord(ctx, l, p.record)
	if err != nil {
		return err
	}
	p.record = rec.Bytes()
	content, err := p.opener.Open(p.content, &rec, h)
	if err != nil {
		return err
	}
	p.content = content
	if !l.Kind.Meta() {
		return nil
	}
	// Right content with other ids in clear would have a sweep delete what it refers to.
	_, code, err := checkRefs(&rec, content)
	if code == codeForm {
		return errs.New(errs.Denied, code, "%w", err) // of another version: no damage, but no proof
	}
	return err
}

func (w *Writer) idle(p *prover) {
	select {
	case w.provers <- p:
	default: // more questions at once than processors
		p.opener.Close()
	}
}

// record keeps for the next segment what was found out about a place.
func (w *Writer) record(l Location, flag segment.Flags) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held[l.ID] || w.ended || w.marked[l.place()] {
		return // stored, or found out by another question, meanwhile
	}
	w.addRow(packKey{l.Attempt, classOf(l.Kind), l.Number}, segment.Row{
		ID: l.ID, Offset: l.Offset, Length: l.Length, Kind: l.Kind, Flags: flag,
	})
	if flag == segment.Proved {
		w.held[l.ID] = true
		w.stats.Proved++
	} else {
		w.marked[l.place()] = true
	}
}
