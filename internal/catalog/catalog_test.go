package catalog

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
	"google.golang.org/protobuf/testing/protocmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

var noon = time.Date(2026, 11, 7, 12, 0, 0, 0, time.UTC)

func openTest(t testing.TB) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "a b?c%d.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func write(t *testing.T, db *DB, fn func(ctx context.Context, tx *sql.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *sql.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

func TestOpenMakesASafeDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?c%d.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*sql.DB{db.read, db.write} {
		for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000"} {
			var got string
			if err := c.QueryRow(`PRAGMA ` + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %s, want %s (%v)", pragma, got, want, err)
			}
		}
	}
	if _, err := db.read.Exec(`DELETE FROM settings`); err == nil {
		t.Error("a reader can write")
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode is %o", got)
	}
}

func TestMigrationsGoUpFromEmptyAndDownAgain(t *testing.T) {
	db := openTest(t)
	p, err := goose.NewProvider(goose.DialectSQLite3, db.write, os.DirFS("migrations"))
	if err != nil {
		t.Fatal(err)
	}
	tables := func() (n int) {
		if err := db.write.QueryRow(`SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'goose_%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := tables()
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := tables(); n != 0 {
		t.Errorf("%d tables are left", n)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := tables(); n != before {
		t.Errorf("%d tables, were %d", n, before)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	db, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); errs.CodeOf(err) != "catalog.newer" {
		t.Errorf("got %v", err)
	}
}

func TestGarbageIsNotADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.db")
	if err := os.WriteFile(path, []byte("this is a text, and long enough to be taken for a header of a database file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil {
		t.Error("garbage was opened")
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	db := openTest(t)
	boom := errors.New("boom")
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		if err := SetSetting(t.Context(), tx, "k", []byte("v")); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	if v, err := Setting(t.Context(), db.Read(), "k"); v != nil || err != nil {
		t.Errorf("%q, %v", v, err)
	}
}

func TestTermsOnlyGrow(t *testing.T) {
	db := openTest(t)
	var last uint64
	for range 3 {
		write(t, db, func(ctx context.Context, tx *sql.Tx) error {
			term, err := NextTerm(ctx, tx, noon, "1")
			if err == nil && term <= last {
				t.Errorf("term %d after %d", term, last)
			}
			last = term
			return err
		})
		if _, err := db.write.Exec(`DELETE FROM terms`); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPasswords(t *testing.T) {
	hash := HashPassword("secret")
	if HashPassword("secret") == hash {
		t.Error("two hashes of one password are the same")
	}
	for password, want := range map[string]bool{"secret": true, "Secret": false, "": false} {
		if got, err := CheckPassword(hash, password); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	for _, bad := range []string{"", "x", "$argon2id$v=19$m=99999999,t=3,p=2$AAAA$AAAA", "$argon2id$v=19$m=65536,t=3,p=2$AAAA$AAAA", hash[:len(hash)-30]} {
		if _, err := CheckPassword(bad, "secret"); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%q: %v, want corrupt", bad, err)
		}
	}
}

func TestAPITokensExpire(t *testing.T) {
	db := openTest(t)
	var id int64
	write(t, db, func(ctx context.Context, tx *sql.Tx) (err error) {
		id, err = AddUser(ctx, tx, User{Name: "admin", Role: "admin", Password: "x", Created: noon})
		return err
	})
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			AddAPIToken(ctx, tx, "ever", APIToken{UserID: id, Created: noon}),
			AddAPIToken(ctx, tx, "hour", APIToken{UserID: id, Created: noon, Expires: noon.Add(time.Hour)}),
		)
	})
	for _, tt := range []struct {
		token string
		at    time.Duration
		want  bool
	}{
		{"ever", 1000 * time.Hour, true}, {"hour", 59 * time.Minute, true}, {"hour", time.Hour, false}, {"none", 0, false}, {"", 0, false},
	} {
		u, ok, err := UserOfToken(t.Context(), db.Read(), tt.token, noon.Add(tt.at))
		if err != nil || ok != tt.want || ok && u.Name != "admin" {
			t.Errorf("%s after %s: %v, %v, %v", tt.token, tt.at, u, ok, err)
		}
	}
	var texts int
	if err := db.write.QueryRow(`SELECT count(*) FROM api_tokens WHERE hash IN ('ever', 'hour')`).Scan(&texts); err != nil || texts != 0 {
		t.Errorf("%d tokens are kept in clear (%v)", texts, err)
	}
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := AddUser(t.Context(), tx, User{Name: "admin"})
		return err
	})
	if errs.KindOf(err) != errs.Exists {
		t.Errorf("second admin: %v", err)
	}
}

func TestJoinTokenIsGoodForOneUseOfOneName(t *testing.T) {
	db := openTest(t)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		for _, id := range []string{"good", "gone", "late"} {
			token := JoinToken{ID: id, Role: "agent", Name: "web1", Created: noon, Expires: noon.Add(time.Hour)}
			if err := AddJoinToken(ctx, tx, "secret-"+id, token); err != nil {
				return err
			}
		}
		return RevokeJoinToken(ctx, tx, "gone")
	})
	use := func(secret, role, name string, at time.Time) error {
		return db.Write(t.Context(), func(tx *sql.Tx) error { _, err := UseJoinToken(t.Context(), tx, secret, role, name, at); return err })
	}
	for _, tt := range []struct {
		what, secret, role, name string
		at                       time.Time
		ok                       bool
	}{
		{"unknown", "secret-x", "agent", "web1", noon, false},
		{"revoked", "secret-gone", "agent", "web1", noon, false},
		{"expired", "secret-late", "agent", "web1", noon.Add(time.Hour), false},
		{"another role", "secret-good", "transport", "web1", noon, false},
		{"another name", "secret-good", "agent", "web2", noon, false},
		{"good", "secret-good", "agent", "web1", noon.Add(59 * time.Minute), true},
		{"used", "secret-good", "agent", "web1", noon.Add(59 * time.Minute), false},
	} {
		err := use(tt.secret, tt.role, tt.name, tt.at)
		if tt.ok != (err == nil) || err != nil && errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
	err := db.Write(t.Context(), func(tx *sql.Tx) error { return RevokeJoinToken(t.Context(), tx, "none") })
	if errs.KindOf(err) != errs.NotFound {
		t.Errorf("revoke an unknown token: %v", err)
	}
}

func TestRevokedCertificateStaysKnownAsSuch(t *testing.T) {
	db := openTest(t)
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			AddCertificate(ctx, tx, Certificate{Serial: "1", Role: "agent", Name: "a", DER: []byte{1}, Issued: noon, Expires: noon}),
			AddCertificate(ctx, tx, Certificate{Serial: "2", Role: "transport", Name: "a", DER: []byte{1}, Issued: noon, Expires: noon}),
		)
	})
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		n, err := RevokeCertificates(ctx, tx, "agent", "a", "gone", noon)
		if n != 1 {
			t.Errorf("%d revoked", n)
		}
		return err
	})
	for serial, revoked := range map[string]bool{"1": true, "2": false} {
		c, ok, err := CertificateBySerial(t.Context(), db.Read(), serial)
		if err != nil || !ok || c.Revoked.IsZero() == revoked {
			t.Errorf("%s: %+v, %v, %v", serial, c, ok, err)
		}
	}
}

func setUpSite(t *testing.T, db *DB) {
	t.Helper()
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(
			JoinTransport(ctx, tx, "t1", noon), JoinComputer(ctx, tx, "web1", noon), JoinComputer(ctx, tx, "web2", noon),
			AddRepository(ctx, tx, Repository{Name: "main", ID: [16]byte{1}, Transport: "t1", Path: "/r", Streams: 4, Writers: 3, Master: []byte{1}, Recovery: []byte{2}, Created: noon}),
		)
	})
}

func TestRowsComeBackAsTheyWerePut(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	computer := Computer{Name: "web1", OS: "linux", Arch: "amd64", Hostname: "h", Version: "1", Address: "x:1", Joined: noon, LastSeen: noon.Add(time.Second), Skew: -2 * time.Hour}
	transport := Transport{Name: "t1", Hostname: "h", Version: "1", Address: "x:1", DataAddress: "x:2", Joined: noon, LastSeen: noon.Add(time.Second)}
	figures := Figures{Looked: noon, SizeBytes: 1, FreeBytes: 2, Packs: 3, Chunks: 4, Points: 5}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error {
		return errors.Join(SeeComputer(ctx, tx, computer), SeeTransport(ctx, tx, transport), NoteFigures(ctx, tx, "main", figures),
			EditRepository(ctx, tx, "main", 7, 8), NoteExport(ctx, tx, "main", noon))
	})
	repository := Repository{Name: "main", ID: [16]byte{1}, Transport: "t1", Path: "/r", Streams: 7, Writers: 8, Master: []byte{1}, Recovery: []byte{2}, Exported: noon, Created: noon, Figures: figures}
	gotC, err := GetComputer(t.Context(), db.Read(), "web1")
	if diff := cmp.Diff(computer, gotC); err != nil || diff != "" {
		t.Error(err, diff)
	}
	gotT, err := GetTransport(t.Context(), db.Read(), "t1")
	if diff := cmp.Diff(transport, gotT); err != nil || diff != "" {
		t.Error(err, diff)
	}
	gotR, err := GetRepository(t.Context(), db.Read(), "main")
	if diff := cmp.Diff(repository, gotR); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestJobComesBackWithItsComputers(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	j := &keepwardv1.Job{
		Name: "docs", Type: "backup", Computers: []string{"web2", "web1"}, Repository: "main",
		Files: &keepwardv1.FileSelection{Include: []string{"/usr"}}, LastResult: "Success", LastSession: 7,
	}
	put := func(ctx context.Context, tx *sql.Tx) error { return PutJob(ctx, tx, j, noon) }
	write(t, db, put)
	got, err := GetJob(t.Context(), db.Read(), "docs")
	if err != nil {
		t.Fatal(err)
	}
	if !got.Created.AsTime().Equal(noon) || got.LastSession != 0 || got.LastResult != "" {
		t.Errorf("got %v", got)
	}
	if diff := cmp.Diff([]string{"web2", "web1"}, got.Computers); diff != "" {
		t.Error(diff)
	}
	j.Computers = []string{"web2"}
	write(t, db, put)
	for computer, want := range map[string]int{"web1": 0, "web2": 1} {
		list, err := JobsOfComputer(t.Context(), db.Read(), computer)
		if err != nil || len(list) != want {
			t.Errorf("%s has %d jobs (%v)", computer, len(list), err)
		}
	}
	j.Computers, j.Repository = []string{"web2"}, "none"
	if err := db.Write(t.Context(), func(tx *sql.Tx) error { return put(t.Context(), tx) }); err == nil {
		t.Error("a job may refer to no repository")
	}
	write(t, db, func(ctx context.Context, tx *sql.Tx) error { return DeleteJob(ctx, tx, "docs") })
	list, err := Jobs(t.Context(), db.Read())
	if diff := cmp.Diff([]*keepwardv1.Job(nil), list, protocmp.Transform()); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestUnknownNamesHintAtTheNearest(t *testing.T) {
	db := openTest(t)
	setUpSite(t, db)
	_, err := GetComputer(t.Context(), db.Read(), "wbe1")
	if errs.KindOf(err) != errs.NotFound || errs.CodeOf(err) != "computer.unknown" || errs.HintOf(err) != "did you mean web1?" {
		t.Errorf("%v (%s)", err, errs.HintOf(err))
	}
	_, err = GetJob(t.Context(), db.Read(), "x")
	if errs.KindOf(err) != errs.NotFound || errs.HintOf(err) != "there is no job yet" {
		t.Errorf("%v (%s)", err, errs.HintOf(err))
	}
}

func TestUnknownNamesHintAtTheFewThereAre(t *testing.T) {
	for hint, known := range map[string][]string{
		"there is no transport yet": nil, "the only transport is local": {"local"},
		"there are local, store1": {"local", "store1"}, "": {"a1", "b2", "c3", "d4"},
	} {
		if got := errs.HintOf(NotFound("transport", "zzzzzz", known)); got != hint {
			t.Errorf("of %v the hint is %q, want %q", known, got, hint)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"web1", "web2", "database", "Main", "mail-server-old"}
	for name, want := range map[string][]string{
		"web3": {"web1", "web2"}, "main": {"Main"}, "datebase": {"database"}, "mail": {"Main", "mail-server-old"}, "zzzzzz": nil, "": nil,
	} {
		if diff := cmp.Diff(want, Nearest(name, known)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
