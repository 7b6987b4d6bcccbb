package postgres_test

import (
	"context"
	"testing"

	"keepward/internal/app"
	"keepward/internal/app/apptest"
	"keepward/internal/app/postgres"
	"keepward/internal/app/postgres/pgtest"
)

// grants are what the role of backups needs, as the documentation has them.
const grants = `CREATE ROLE keepward LOGIN REPLICATION PASSWORD 'a password';
GRANT pg_monitor TO keepward;
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO keepward;`

func TestPostgreSQLKeepsTheContract(t *testing.T) {
	s := pgtest.Start(t)
	ctx := context.Background()
	if err := s.Exec(ctx, "postgres", grants+`CREATE TABLE written (at timestamptz)`); err != nil {
		t.Fatal(err)
	}
	in := app.Instance{
		Name: "main", Address: s.Sockets, User: "keepward", Secret: app.NewSecret("a password"), Job: "job",
		Event: func(level, code, text string) { t.Log(level, code, text) },
	}
	denied, away := in, in
	denied.Secret = app.NewSecret("another password")
	away.Address = t.TempDir()
	apptest.Run(t, apptest.Subject{
		Kind: postgres.Kind{}, Instance: in, Denied: denied, Away: away,
		Write: func(ctx context.Context) error { return s.Exec(ctx, "postgres", `INSERT INTO written VALUES (now())`) },
		Busy: func(ctx context.Context) (bool, error) {
			conn, err := s.Connect(ctx, "postgres")
			if err != nil {
				return false, err
			}
			defer conn.Close(ctx)
			var n int
			err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keepward') + (SELECT count(*) FROM pg_replication_slots WHERE temporary)`).Scan(&n)
			return n > 0, err
		},
	})
	if got := s.Query(t, "postgres", `SELECT count(*) FROM pg_replication_slots`); got != "1" {
		t.Errorf("%s slots are left, want the one of the job", got)
	}
}
