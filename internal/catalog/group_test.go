package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd is a catalog in whose first transaction a writer stays until it is let go, while others
// line up behind it.
type crowd struct {
	t    *testing.T
	db   *DB
	hold chan struct{}
	wait sync.WaitGroup

	mu    sync.Mutex
	began []string
	ended map[string]error
}

func inCrowd(t *testing.T, fn func(t *testing.T, c *crowd)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		c := &crowd{t: t, db: db, hold: make(chan struct{}), ended: map[string]error{}}
		c.write(t.Context(), "first", func(*sql.Tx) error { <-c.hold; return nil })
		fn(t, c)
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// write lines up a writer of its own setting; then also says what else it does.
func (c *crowd) write(ctx context.Context, name string, also func(tx *sql.Tx) error) {
	c.wait.Go(func() {
		err := c.db.Write(ctx, func(tx *sql.Tx) error {
			c.mu.Lock()
			c.began = append(c.began, name)
			c.mu.Unlock()
			if err := SetSetting(ctx, tx, name, []byte{1}); err != nil || also == nil {
				return err
			}
			return also(tx)
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ended[name] = err
	})
	synctest.Wait()
}

// let ends the first writer and waits for all.
func (c *crowd) let() {
	close(c.hold)
	c.wait.Wait()
}

// kept are the settings that are in the catalog, in the order of their names.
func (c *crowd) kept() []string {
	c.t.Helper()
	rows, err := c.db.Read().QueryContext(c.t.Context(), `SELECT key FROM settings ORDER BY key`)
	list, err := collect(rows, err, func(r *sql.Rows) (key string, err error) { return key, r.Scan(&key) })
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}

func (c *crowd) check(what string, got, want []string) {
	c.t.Helper()
	if !slices.Equal(got, want) {
		c.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestWritersThatWaitShareACommit(t *testing.T) {
	inCrowd(t, func(t *testing.T, c *crowd) {
		var seen []string
		c.write(t.Context(), "second", nil)
		c.write(t.Context(), "third", func(tx *sql.Tx) error {
			seen = c.kept() // as others see the catalog
			v, err := Setting(t.Context(), tx, "second")
			if err == nil && v == nil {
				err = errors.New("it does not see what was written before it")
			}
			return err
		})
		c.write(t.Context(), "fourth", nil)
		c.let()
		c.check("committed before the last of them", seen, nil)
		c.check("order", c.began, []string{"first", "second", "third", "fourth"})
		c.check("kept", c.kept(), []string{"first", "fourth", "second", "third"})
		for name, err := range c.ended {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestAWriterThatFailsUndoesOnlyItsOwn(t *testing.T) {
	errOwn := errors.New("its own")
	ways := map[string]func(tx *sql.Tx) error{
		"answers an error": func(*sql.Tx) error { return errOwn },
		"panics":           func(*sql.Tx) error { panic(errOwn) },
		"ends its goroutine": func(*sql.Tx) error {
			runtime.Goexit()
			return nil
		},
		"breaks a rule of the schema": func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO job_computers (job, computer) VALUES ('none', 'none')`)
			return errors.Join(err, errOwn)
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			inCrowd(t, func(t *testing.T, c *crowd) {
				c.write(t.Context(), "before", nil)
				c.wait.Go(func() {
					defer func() { _ = recover() }()
					if err := c.db.Write(t.Context(), func(tx *sql.Tx) error {
						return errors.Join(SetSetting(t.Context(), tx, "bad", []byte{1}), way(tx))
					}); !errors.Is(err, errOwn) {
						t.Errorf("it got %v", err)
					}
				})
				synctest.Wait()
				c.write(t.Context(), "later", nil)
				c.let()
				c.check("kept", c.kept(), []string{"before", "first", "later"})
				if err := errors.Join(c.ended["before"], c.ended["later"]); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// SQLite undoes a whole transaction when the disk is full or fails.
func TestWritersWhoseTransactionIsLostComeAgain(t *testing.T) {
	inCrowd(t, func(t *testing.T, c *crowd) {
		errOwn := errors.New("its own")
		c.write(t.Context(), "before", nil)
		c.write(t.Context(), "breaker", func(tx *sql.Tx) error {
			if _, err := tx.Exec(`ROLLBACK`); err != nil {
				return err
			}
			return errOwn
		})
		c.write(t.Context(), "later", nil)
		c.let()
		c.check("order", c.began, []string{"first", "before", "breaker", "first", "before", "later"})
		c.check("kept", c.kept(), []string{"before", "first", "later"})
		if !errors.Is(c.ended["breaker"], errOwn) || errors.Join(c.ended["first"], c.ended["before"], c.ended["later"]) != nil {
			t.Errorf("they ended with %v", c.ended)
		}
	})
}

func TestAWriterThatGivesUpWaitingIsPassedOver(t *testing.T) {
	inCrowd(t, func(t *testing.T, c *crowd) {
		ctx, cancel := context.WithCancel(t.Context())
		c.write(t.Context(), "before", func(*sql.Tx) error { cancel(); return nil }) // the next has not had its turn
		c.write(ctx, "given up", nil)
		c.write(t.Context(), "later", nil)
		early, end := context.WithCancel(t.Context())
		c.write(early, "given up at once", nil)
		end()
		synctest.Wait()
		c.let()
		c.check("kept", c.kept(), []string{"before", "first", "later"})
		for _, name := range []string{"given up", "given up at once"} {
			if !errors.Is(c.ended[name], context.Canceled) {
				t.Errorf("%s: %v", name, c.ended[name])
			}
		}
	})
}

// What is in the transaction is answered by its commit, not by the context.
func TestAContextThatEndsAfterTheTurnChangesNothing(t *testing.T) {
	inCrowd(t, func(t *testing.T, c *crowd) {
		ctx, cancel := context.WithCancel(t.Context())
		c.write(ctx, "written", nil)
		c.write(t.Context(), "later", func(*sql.Tx) error { cancel(); return nil })
		c.let()
		if err := c.ended["written"]; err != nil {
			t.Error(err)
		}
		c.check("kept", c.kept(), []string{"first", "later", "written"})
	})
}

func TestAGroupIsBounded(t *testing.T) {
	inCrowd(t, func(t *testing.T, c *crowd) {
		var seen []string
		for i := range 2 * groupMost {
			c.write(t.Context(), fmt.Sprintf("%03d", i), func(*sql.Tx) error {
				if i == groupMost {
					seen = c.kept()
				}
				return nil
			})
		}
		c.let()
		if len(seen) != groupMost {
			t.Errorf("%d were committed before the writer %d, want %d", len(seen), groupMost, groupMost)
		}
		if got := len(c.kept()); got != 2*groupMost+1 {
			t.Errorf("%d are kept", got)
		}
	})
}

func TestKeptStatementsOutliveAChangeOfTheSchema(t *testing.T) {
	db := openTest(t)
	add := func(ctx context.Context, tx *sql.Tx) error { return SetSetting(ctx, tx, "a", []byte{1}) }
	write(t, db, add)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `ALTER TABLE settings ADD COLUMN note TEXT NOT NULL DEFAULT 'none'`)
		return err
	})
	write(t, db, add)
	var note string
	if err := db.read.QueryRow(`SELECT note FROM settings WHERE key = 'a'`).Scan(&note); err != nil || note != "none" {
		t.Errorf("%q, %v", note, err)
	}
}

// Who hangs up while its statement runs must not undo what others did: SQLite would, if it were
// interrupted.
func TestNoStatementOfTheWriterIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(t.TempDir(), "c.db")
	made, err := connector{dsn: dsn(path, writerCache, "_txlock", "immediate"), through: true}.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := made.(*conn)
	for _, query := range []string{`CREATE TABLE a (b)`, `INSERT INTO a VALUES (1)`, `DELETE FROM a`} {
		if _, err := c.ExecContext(ending{ctx, cancel}, query, nil); err != nil || ctx.Err() != nil {
			t.Errorf("%s: %v, waits for the end: %v", query, err, ctx.Err() != nil)
		}
	}
	rows, err := c.QueryContext(ending{ctx, cancel}, `SELECT b FROM a`, nil)
	if err != nil || ctx.Err() != nil {
		t.Fatalf("%v, waits for the end: %v", err, ctx.Err() != nil)
	}
	if err := errors.Join(rows.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}

// ending is a context that ends as soon as anybody waits for its end.
type ending struct {
	context.Context
	end context.CancelFunc
}

func (e ending) Done() <-chan struct{} {
	e.end()
	return e.Context.Done()
}

func TestAKeptStatementIsReadTwiceAtOnce(t *testing.T) {
	db := openTest(t)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(SetSetting(ctx, tx, "a", []byte{1}), SetSetting(ctx, tx, "b", []byte{1}))
	})
	tx, err := db.read.BeginTx(t.Context(), nil) // one connection for all of them
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	read := func() *sql.Rows {
		rows, err := tx.QueryContext(t.Context(), `SELECT key FROM settings WHERE key < 'c' ORDER BY key`)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	next := func(rows *sql.Rows, want string) {
		t.Helper()
		var key string
		if !rows.Next() || rows.Scan(&key) != nil || key != want {
			t.Errorf("%q, want %q: %v", key, want, rows.Err())
		}
	}
	for range 2 { // again, when the first is free
		one, two := read(), read()
		next(one, "a")
		next(two, "a")
		next(one, "b")
		next(two, "b")
		if err := errors.Join(one.Close(), two.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyWhatRepeatsIsKept(t *testing.T) {
	for query, want := range map[string]bool{
		"INSERT INTO a VALUES (1)": true, "\n\tUPDATE a SET b = 1": true, "DELETE FROM a": true, "SAVEPOINT a": true, "ROLLBACK TO a": true, "SELECT 1": true,
		"CREATE TABLE a (b)": false, "DROP TABLE a": false, "PRAGMA integrity_check": false, "": false,
	} {
		if got := repeats(query); got != want {
			t.Errorf("%q: %v", query, got)
		}
	}
}

// BenchmarkWrite writes what a change of a task's status writes, by so many at once.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) {
			db, err := Open(b.Context(), filepath.Join(b.TempDir(), "c.db"))
			if err != nil {
				b.Fatal(err)
			}
			var next sync.Mutex
			left := b.N
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				all.Go(func() {
					s := &Session{Job: "docs", Definition: "{}", Created: time.Now()}
					task := &Task{ID: strconv.Itoa(w), Computer: "web1", Repository: "main"}
					if err := db.Write(b.Context(), func(tx *sql.Tx) error {
						err := AddSession(b.Context(), tx, s)
						task.Session = s.ID
						return errors.Join(err, AddTask(b.Context(), tx, task))
					}); err != nil {
						b.Error(err)
						return
					}
					for {
						next.Lock()
						left--
						done := left < 0
						next.Unlock()
						if done {
							return
						}
						if err := db.Write(b.Context(), func(tx *sql.Tx) error {
							return errors.Join(PutTask(b.Context(), tx, task), PutSession(b.Context(), tx, s))
						}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.StopTimer()
			if err := db.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}
