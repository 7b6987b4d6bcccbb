package catalog

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"keepward/internal/errs"
)

func TestACopyHoldsWhatWasWrittenAndNoMore(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	from, to := filepath.Join(dir, "a b.db"), filepath.Join(dir, "copy.db")
	db, err := Open(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	set := func(key, value string) {
		t.Helper()
		if err := db.Write(ctx, func(tx *sql.Tx) error { return SetSetting(ctx, tx, key, []byte(value)) }); err != nil {
			t.Fatal(err)
		}
	}
	set("before", "1")
	if err := Copy(ctx, from, to); err != nil {
		t.Fatal(err)
	}
	set("after", "1")
	if err := Proven(ctx, to); err != nil {
		t.Error(err)
	}
	if err := Copy(ctx, from, to); err == nil {
		t.Error("a copy was written over another file")
	}
	made, err := Open(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = made.Close() }()
	for key, want := range map[string]string{"before": "1", "after": ""} {
		if got, err := Setting(ctx, made.Read(), key); err != nil || string(got) != want {
			t.Errorf("the copy says %s is %q (%v), want %q", key, got, err, want)
		}
	}
}

func TestACopyGoesOnBesideAWriter(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	from := filepath.Join(dir, "catalog.db")
	db, err := Open(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	err = db.Write(ctx, func(tx *sql.Tx) error {
		if err := SetSetting(ctx, tx, "open", []byte("1")); err != nil {
			return err
		}
		return Copy(ctx, from, filepath.Join(dir, "copy.db")) // a transaction is open all the while
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNoCatalogIsNotProven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	if err := os.WriteFile(path, []byte("this is no database, and long enough to be taken for one's first page"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Proven(context.Background(), path); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("%v", err)
	}
}
