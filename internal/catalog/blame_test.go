package catalog

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"keepward/internal/errs"
)

func TestAFullDiskOfTheCatalogIsNamed(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	fill := func() error {
		return db.Write(t.Context(), func(tx *sql.Tx) error { return SetSetting(context.Background(), tx, "big", make([]byte, 1<<20)) })
	}
	limit := func(pages string) {
		if _, err := db.write.ExecContext(t.Context(), `PRAGMA max_page_count = `+pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // as many as there are
	if err := fill(); errs.CodeOf(err) != "catalog.full" || errs.KindOf(err) != errs.NoSpace || errs.HintOf(err) == "" {
		t.Errorf("on a full disk: %v", err)
	}
	limit("1000000")
	if err := fill(); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
