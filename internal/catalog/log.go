package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// copyAfter is after how many changes the log is copied into the file: each has some pages, and the
// disk syncs three times more.
const copyAfter = 500

// logMost is the pages (4 KiB) of the log at which SQLite copies it by itself, within a commit: after
// a change so large, or where our own copying fails.
const logMost = 16_000

// copier copies the log into the file while others write. Where SQLite does it within a commit, who
// waits for that one, and everybody behind him, waits until some thousand pages are written and
// synced.
type copier struct {
	db    *sql.DB
	group *group
	stop  context.CancelFunc
	work  sync.WaitGroup
}

func newCopier(db *sql.DB, g *group) *copier {
	ctx, stop := context.WithCancel(context.Background())
	c := &copier{db: db, group: g, stop: stop}
	c.work.Go(func() { c.serve(ctx) })
	return c
}

func (c *copier) close() {
	c.stop()
	c.work.Wait()
}

func (c *copier) serve(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.group.grown:
		}
		// What fails is left to the next time, and in the end to SQLite itself.
		_ = c.copy(ctx)
	}
}

// copy copies what is there beside the writers, and then between two of them the little that has come
// meanwhile: only when all of it is copied does the log begin anew.
func (c *copier) copy(ctx context.Context) error {
	if err := c.checkpoint(ctx); err != nil {
		return err
	}
	return c.group.between(ctx, func() error { return c.checkpoint(ctx) })
}

// checkpoint copies as much as nobody reads from the log any more.
func (c *copier) checkpoint(ctx context.Context) error {
	if _, err := c.db.ExecContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`); err != nil {
		return fmt.Errorf("copy the log of the catalog: %w", err)
	}
	return nil
}
