package catalog

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
)

// keptMost bounds the statements that a connection keeps ready: more texts than the program has.
const keptMost = 256

// connector makes connections that keep the statements they have run. To compile one takes longer
// than to run it, and the same few are run all day. Where a limit is a mere parameter SQLite goes by
// its value as it compiles, and compiles again for each: so we write LIMIT +?.
type connector struct {
	dsn string
	// through lets no statement be interrupted that has begun. SQLite would undo the whole
	// transaction, and so the work of all who share it.
	through bool
}

func (connector) Driver() driver.Driver { return &sqlite.Driver{} }

func (c connector) Connect(context.Context) (driver.Conn, error) {
	made, err := (&sqlite.Driver{}).Open(c.dsn)
	if err != nil {
		return nil, err
	}
	raw, ok := made.(rawConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("open catalog: %T is not the connection that was expected", made), made.Close())
	}
	return &conn{rawConn: raw, through: c.through, kept: map[string]*kept{}}, nil
}

// rawConn is the driver's connection with all that database/sql makes use of.
type rawConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// conn keeps its statements; database/sql calls it, and what it makes, from one goroutine at a time.
type conn struct {
	rawConn
	through bool
	kept    map[string]*kept // by their text
}

// kept is a statement that is ready to be run again.
type kept struct {
	statement
	busy bool // its rows are being read
}

// statement is the driver's, with what is used of it.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// ExecContext runs a statement, compiled before if it was run before.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, ctx, err := c.ready(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.rawConn.ExecContext(ctx, query, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext likewise.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, ctx, err := c.ready(ctx, query)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return c.rawConn.QueryContext(ctx, query, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return keptRows{rows, s}, nil
}

// keptRows are the rows of a kept statement, which is free again when they are closed.
type keptRows struct {
	driver.Rows
	of *kept
}

func (r keptRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}

// ready is the kept statement of a text, and the context to run it with; nil, where none is kept
// or the one that is has rows that are being read.
func (c *conn) ready(ctx context.Context, query string) (*kept, context.Context, error) {
	if err := ctx.Err(); err != nil {
		return nil, ctx, err
	}
	if c.through {
		ctx = context.WithoutCancel(ctx)
	}
	if s := c.kept[query]; s != nil {
		if s.busy {
			s = nil
		}
		return s, ctx, nil
	}
	if !repeats(query) || len(c.kept) >= keptMost {
		return nil, ctx, nil
	}
	made, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, ctx, err
	}
	s, ok := made.(statement)
	if !ok {
		return nil, ctx, errors.Join(fmt.Errorf("use the catalog: %T is not the statement that was expected", made), made.Close())
	}
	c.kept[query] = &kept{statement: s}
	return c.kept[query], ctx, nil
}

// Close ends the kept statements too, which would keep the database open.
func (c *conn) Close() error {
	var failed []error
	for _, s := range c.kept {
		failed = append(failed, s.Close())
	}
	clear(c.kept)
	return errors.Join(append(failed, c.rawConn.Close())...)
}

// repeats tells whether a statement is one of those that are run again and again: of rows, and the
// savepoints around them. What changes the schema is run once.
func repeats(query string) bool {
	query = strings.TrimSpace(query)
	for _, verb := range []string{"SELECT", "INSERT", "UPDATE", "DELETE", "SAVEPOINT", "RELEASE", "ROLLBACK TO"} {
		if strings.HasPrefix(query, verb) {
			return true
		}
	}
	return false
}
