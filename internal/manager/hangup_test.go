package manager

import (
	"context"
	"database/sql"
	"sync"
	"testing"

	"keepward/internal/catalog"
	"keepward/internal/job"
)

// leaver is the context of a caller who hangs up at the moment at which a session is in the catalog.
type leaver struct {
	context.Context
	db   *catalog.DB // not the manager's, which asks for Done under its locks
	gone chan struct{}
	hang sync.Once
}

func (l *leaver) Done() <-chan struct{} {
	select {
	case <-l.gone:
		return l.gone
	default:
	}
	list, err := catalog.Sessions(context.Background(), l.db.Read(), catalog.SessionFilter{Limit: 1})
	if err == nil && len(list) > 0 {
		l.hang.Do(func() { close(l.gone) })
	}
	return l.gone
}

func (l *leaver) Err() error {
	select {
	case <-l.Done():
		return context.Canceled
	default:
		return nil
	}
}

func TestASessionWhoseCallerHangsUpRunsAllTheSame(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		db, err := catalog.Open(t.Context(), w.path)
		w.must(err)
		id, err := w.m.RunJob(&leaver{Context: t.Context(), db: db, gone: make(chan struct{})}, theJob, false)
		if err != nil || id == 0 {
			t.Errorf("the session is in the catalog, and its caller is told %d, %v", id, err)
		}
		w.must(db.Close())
		w.expect(1, job.Running, "")
	})
}

func TestASessionThatCannotBeReadYetRunsLater(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.write(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `ALTER TABLE repositories RENAME TO elsewhere`)
			return err
		})
		id := w.run()
		w.write(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `ALTER TABLE elsewhere RENAME TO repositories`)
			return err
		})
		w.pass(2 * writeAgain)
		w.expect(id, job.Running, "")
	})
}
