package repo

import (
	"context"
	"iter"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

// Note is when and why a point was marked; Time is the server's.
type Note struct {
	Time   time.Time
	Reason string
}

// Marker is a marker of a point.
type Marker struct {
	Attempt point.Attempt
	Kind    ledger.MarkKind
	Note
}

func markDir(kind ledger.MarkKind) string {
	if kind == ledger.Held {
		return heldDir
	}
	return deletedDir
}

func markName(kind ledger.MarkKind, a point.Attempt) string {
	return markDir(kind) + "/" + a.String()
}

// MarkDeleted hides a point until it is undeleted or purged; a held one is errs.Denied with
// code point.held. A point that is marked already keeps its marker.
func (r *Repository) MarkDeleted(ctx context.Context, a point.Attempt, n Note) error {
	if err := r.notHeld(ctx, a, "delete"); err != nil {
		return err
	}
	return r.mark(ctx, ledger.Deleted, a, n, "delete")
}

// Undelete shows a point again. One that is gone is errs.NotFound with code point.not-found.
func (r *Repository) Undelete(ctx context.Context, a point.Attempt) error {
	return r.unmark(ctx, ledger.Deleted, a, "undelete")
}

// Hold keeps a point from being deleted or purged, whatever else marks it.
func (r *Repository) Hold(ctx context.Context, a point.Attempt, n Note) error {
	return r.mark(ctx, ledger.Held, a, n, "hold")
}

// Release ends a hold.
func (r *Repository) Release(ctx context.Context, a point.Attempt) error {
	return r.unmark(ctx, ledger.Held, a, "release")
}

func (r *Repository) mark(ctx context.Context, kind ledger.MarkKind, a point.Attempt, n Note, verb string) error {
	if err := r.changeable(ctx, a, verb); err != nil {
		return err
	}
	m := ledger.Mark{Kind: kind, Repository: r.cfg.ID, Attempt: a, Time: n.Time, Reason: n.Reason}
	err := r.b.Put(ctx, markName(kind, a), m.Encode())
	if errs.KindOf(err) == errs.Exists {
		err = r.b.Sync(ctx, markDir(kind))
	}
	if err != nil {
		return err
	}
	// A purge that was faster must not leave a promise behind.
	if err := r.isPoint(ctx, a, verb); err != nil {
		if errs.KindOf(err) == errs.NotFound {
			return joinErr(err, r.remove(ctx, markName(kind, a)))
		}
		return err
	}
	return nil
}

func (r *Repository) unmark(ctx context.Context, kind ledger.MarkKind, a point.Attempt, verb string) error {
	if err := r.changeable(ctx, a, verb); err != nil {
		return err
	}
	if err := r.remove(ctx, markName(kind, a)); err != nil {
		return err
	}
	return r.isPoint(ctx, a, verb) // a purge may have been faster
}

// changeable tells why a point's markers cannot be changed.
func (r *Repository) changeable(ctx context.Context, a point.Attempt, verb string) error {
	if err := r.cfg.Writable(); err != nil {
		return err
	}
	return r.isPoint(ctx, a, verb)
}

// isPoint tells why a is no restore point. A damaged one is one: it must be possible to
// delete it.
func (r *Repository) isPoint(ctx context.Context, a point.Attempt, verb string) error {
	content, err := r.Point(ctx, a)
	if errs.KindOf(err) == errs.NotFound {
		return errs.New(errs.NotFound, "point.not-found", "%s restore point %s: the repository does not hold it", verb, a)
	}
	if errs.KindOf(err) == errs.Corrupt {
		return nil
	}
	if err != nil {
		return err
	}
	if p, err := point.Parse(content); err == nil && p.Type == point.Tombstone {
		return errs.New(errs.NotFound, "point.not-found", "%s restore point %s: the attempt was cut off and made none", verb, a)
	}
	return nil
}

func (r *Repository) notHeld(ctx context.Context, a point.Attempt, verb string) error {
	held, err := storage.Exists(ctx, r.b, markName(ledger.Held, a))
	if err == nil && held {
		err = errs.New(errs.Denied, "point.held", "%s restore point %s: it is held", verb, a).
			WithHint("release it first: keepward point release %s", a)
	}
	return err
}

// Markers reads all markers of points. One that cannot be read has effect all the same: it
// comes with its error, attempt and kind. Everything reported is durable.
func (r *Repository) Markers(ctx context.Context) iter.Seq2[Marker, error] {
	return func(yield func(Marker, error) bool) {
		for _, kind := range []ledger.MarkKind{ledger.Deleted, ledger.Held} {
			infos, err := r.list(ctx, markDir(kind))
			if err != nil {
				yield(Marker{}, err)
				return
			}
			for _, info := range infos {
				m, err := r.marker(ctx, kind, info.Name)
				if errs.KindOf(err) == errs.NotFound {
					continue // removed since it was listed
				}
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

func (r *Repository) marker(ctx context.Context, kind ledger.MarkKind, name string) (Marker, error) {
	m := Marker{Kind: kind}
	var err error
	if m.Attempt, err = point.ParseAttempt(name[len(markDir(kind))+1:]); err != nil {
		return m, badName(name)
	}
	content, err := r.b.Get(ctx, name, ledger.MaxMark)
	if err != nil {
		return m, err
	}
	mark, err := ledger.ParseMark(content, kind)
	if err == nil && (mark.Attempt != m.Attempt || mark.Repository != r.cfg.ID) {
		err = errs.New(errs.Corrupt, "ledger.place", "read %s: it is another point's, or another repository's", name)
	}
	m.Note = Note{Time: mark.Time, Reason: mark.Reason}
	return m, err
}

// marks are all markers by their points. One that cannot be read has no time.
func (r *Repository) marks(ctx context.Context) (deleted, held map[point.Attempt]*Note, err error) {
	deleted, held = map[point.Attempt]*Note{}, map[point.Attempt]*Note{}
	for m, err := range r.Markers(ctx) {
		if k := errs.KindOf(err); err != nil && k != errs.Corrupt && k != errs.Invalid {
			return nil, nil, err
		}
		if err != nil {
			m.Note = Note{Reason: "its marker cannot be read: " + err.Error()}
		}
		if m.Kind == ledger.Held {
			held[m.Attempt] = &m.Note
		} else {
			deleted[m.Attempt] = &m.Note
		}
	}
	return deleted, held, nil
}
