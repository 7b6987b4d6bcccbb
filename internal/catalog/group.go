package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// groupMost bounds how many share one commit: the first of them waits for the last. With a
// millisecond of work in each that is less than what a slow disk's sync takes.
const groupMost = 64

// errLost says that the transaction was undone in which a member's changes were: it comes again.
var errLost = errors.New("the transaction was undone by another")

// group lets many write, one after the other, with one commit and so one sync for all whose turn
// comes before nobody waits any more. Each but the first has a savepoint of its own, so what one
// undoes leaves the others as they are; none is answered before the commit.
//
// The members are served in the order in which they came, each in its own goroutine: who has the
// turn hands it, with the open transaction, to the next, and the last one commits. A lone writer
// waits for nobody.
type group struct {
	db    *sql.DB
	grown chan struct{} // a signal: many changes were committed since the last

	mu    sync.Mutex
	queue []*member // who waits for the turn
	taken bool      // somebody has it

	// For who has the turn.
	tx      *sql.Tx
	joined  []*member // whose changes are in tx
	changes int       // committed since the last signal
}

func newGroup(db *sql.DB) *group { return &group{db: db, grown: make(chan struct{}, 1)} }

// member is one call of Write.
type member struct {
	turn    chan struct{} // a signal: it has the turn; nobody may wait for it to be read
	outcome chan error    // of the commit, or errLost; likewise
}

func newMember() *member { return &member{turn: make(chan struct{}, 1), outcome: make(chan error, 1)} }

func (g *group) write(ctx context.Context, fn func(tx *sql.Tx) error) error {
	m := newMember()
	g.enter(m)
	for {
		if err := g.await(ctx, m); err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		if err := g.take(m, fn); err != nil {
			return err
		}
		// Whether it is durable is known in a moment, whatever ctx says by then.
		if err := <-m.outcome; !errors.Is(err, errLost) {
			return err
		}
	}
}

// between calls fn while nothing is open, and nobody writes.
func (g *group) between(ctx context.Context, fn func() error) error {
	m := newMember()
	g.enter(m)
	if err := g.await(ctx, m); err != nil {
		return err
	}
	defer g.pass()
	g.commit()
	return fn()
}

// enter lines m up, and gives it the turn where nobody has it.
func (g *group) enter(m *member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.queue = append(g.queue, m)
	if !g.taken {
		g.taken = true
		g.serve()
	}
}

// serve gives the turn to the first in line, if there is one. g.mu must be held.
func (g *group) serve() bool {
	if len(g.queue) == 0 {
		return false
	}
	first := g.queue[0]
	g.queue = slices.Delete(g.queue, 0, 1)
	first.turn <- struct{}{}
	return true
}

// await waits for m's turn. An error means that m is out of the line.
func (g *group) await(ctx context.Context, m *member) error {
	select {
	case <-m.turn:
	case <-ctx.Done():
		g.mu.Lock()
		i := slices.Index(g.queue, m)
		if i >= 0 {
			g.queue = slices.Delete(g.queue, i, i+1)
		}
		g.mu.Unlock()
		if i >= 0 {
			return ctx.Err()
		}
		<-m.turn // it was given already
	}
	if err := ctx.Err(); err != nil {
		g.pass()
		return err
	}
	return nil
}

// take is m's turn: fn in a savepoint. Then the turn goes on, even if fn panics.
func (g *group) take(m *member, fn func(tx *sql.Tx) error) (err error) {
	defer g.pass()
	if err := g.begin(); err != nil {
		return err
	}
	kept := false
	defer func() {
		if !kept {
			g.undo()
		}
	}()
	if err := fn(g.tx); err != nil {
		return err
	}
	if len(g.joined) > 0 {
		if err := g.exec(releaseMember); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
	}
	kept = true
	g.joined = append(g.joined, m)
	return nil
}

// The savepoint of the member whose turn it is.
const (
	beginMember   = `SAVEPOINT member`
	releaseMember = `RELEASE member`
	undoMember    = `ROLLBACK TO member`
)

func (g *group) exec(statement string) error {
	_, err := g.tx.ExecContext(context.Background(), statement)
	return err
}

// begin opens the transaction, where none is open, and the member's savepoint, where others have
// changed something before. Neither is bound to the member's context: the end of that would undo
// what others did.
func (g *group) begin() error {
	if g.tx == nil {
		tx, err := g.db.BeginTx(context.Background(), nil)
		if err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		g.tx = tx
	}
	if len(g.joined) == 0 {
		return nil
	}
	if err := g.exec(beginMember); err != nil {
		g.lose()
		return fmt.Errorf("begin transaction: %w", err)
	}
	return nil
}

// undo takes back what the member did whose turn it is.
func (g *group) undo() {
	if len(g.joined) == 0 || g.exec(undoMember) != nil || g.exec(releaseMember) != nil {
		g.lose()
	}
}

// lose gives the whole transaction up: nobody else is in it, or SQLite has undone all of it by itself,
// as it does when the disk is full or fails. The others come again, in their order and before all who wait.
func (g *group) lose() {
	_ = g.tx.Rollback() // SQLite may have done so before
	lost := g.joined
	g.tx, g.joined = nil, nil
	g.mu.Lock()
	g.queue = append(slices.Clone(lost), g.queue...)
	g.mu.Unlock()
	for _, m := range lost {
		m.outcome <- errLost
	}
}

// pass ends a turn: the next in line goes on with the transaction, or it is committed.
func (g *group) pass() {
	if len(g.joined) < groupMost {
		g.mu.Lock()
		served := g.serve()
		g.mu.Unlock()
		if served {
			return
		}
	}
	g.commit()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken = g.serve()
}

// commit makes durable what is in the transaction and answers everybody.
func (g *group) commit() {
	tx, joined := g.tx, g.joined
	g.tx, g.joined = nil, nil
	if tx == nil {
		return // nothing is left of what was tried
	}
	err := tx.Commit()
	if err != nil {
		err = fmt.Errorf("commit: %w", err)
	}
	for _, m := range joined {
		m.outcome <- err
	}
	if g.changes += len(joined); g.changes < copyAfter {
		return
	}
	g.changes = 0
	select {
	case g.grown <- struct{}{}:
	default:
	}
}
