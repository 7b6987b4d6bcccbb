package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"testing"
)

func TestTheLogIsCopiedWhileOthersWriteAndBeginsAnew(t *testing.T) {
	db := openTest(t)
	const writers, each = 4, 50
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				if err := db.Write(t.Context(), func(tx *sql.Tx) error {
					return SetSetting(t.Context(), tx, fmt.Sprintf("k%d-%d", w, i), make([]byte, 4096))
				}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 10 {
		if err := db.copier.copy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	var n int
	if err := db.Read().QueryRowContext(t.Context(), `SELECT count(*) FROM settings WHERE length(value) = 4096`).Scan(&n); err != nil || n != writers*each {
		t.Errorf("%d of %d are there (%v)", n, writers*each, err)
	}
	if err := db.copier.copy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), func(tx *sql.Tx) error { return SetSetting(t.Context(), tx, "last", []byte("x")) }); err != nil {
		t.Fatal(err)
	}
	var busy, pages, copied int
	if err := db.copies.QueryRowContext(t.Context(), `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &copied); err != nil {
		t.Fatal(err)
	}
	if busy != 0 || pages != copied || pages > 10 {
		t.Errorf("the log has %d pages after one write, of which %d are copied (busy: %d)", pages, copied, busy)
	}
}

func TestTheLogIsCopiedAfterSoManyChanges(t *testing.T) {
	db := openTest(t)
	db.copier.close() // it would take the signal
	for range copyAfter {
		if len(db.group.grown) > 0 {
			t.Fatal("a signal came too soon")
		}
		write(t, db, func(ctx context.Context, tx *sql.Tx) error { return SetSetting(ctx, tx, "k", []byte("x")) })
	}
	if len(db.group.grown) == 0 {
		t.Error("no signal came")
	}
}
