package mariadb

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepward/internal/app"
	"keepward/internal/app/apptest"
	"keepward/internal/app/mariadb/mariatest"
	"keepward/internal/errs"
)

// grants are what the user of backups needs, as the documentation has them.
const grants = `CREATE USER keepward@localhost IDENTIFIED BY 'a password';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO keepward@localhost;`

func TestMariaDBKeepsTheContract(t *testing.T) {
	s := mariatest.Start(t)
	ctx := context.Background()
	if err := s.Exec(ctx, grants+`CREATE DATABASE bench; CREATE TABLE bench.written (at datetime)`); err != nil {
		t.Fatal(err)
	}
	in := app.Instance{
		Name: "main", Address: s.Socket, User: "keepward", Secret: app.NewSecret("a password"), Job: "job",
		Event: func(level, code, text string) { t.Log(level, code, text) },
	}
	denied, away := in, in
	denied.Secret = app.NewSecret("another password")
	away.Address = t.TempDir()
	apptest.Run(t, apptest.Subject{
		Kind: Kind{}, Instance: in, Denied: denied, Away: away,
		Write: func(ctx context.Context) error { return s.Exec(ctx, `INSERT INTO bench.written VALUES (now())`) },
		Busy: func(ctx context.Context) (bool, error) {
			db := s.Open()
			defer db.Close()
			var n int
			err := db.QueryRowContext(ctx, `SELECT count(*) FROM information_schema.processlist WHERE user = 'keepward'`).Scan(&n)
			return n > 0, err
		},
	})
}

// TestAHoldEndsByTheServersClock: a client that stands still keeps nobody from working for long.
func TestAHoldEndsByTheServersClock(t *testing.T) {
	was := holdIdle
	holdIdle = 2 * time.Second
	t.Cleanup(func() { holdIdle = was })
	s := mariatest.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), app.HoldMost)
	defer cancel()
	if err := s.Exec(ctx, grants+`CREATE DATABASE bench; CREATE TABLE bench.written (at datetime)`); err != nil {
		t.Fatal(err)
	}
	a, err := Kind{}.Open(ctx, app.Instance{Name: "main", Address: s.Socket, User: "keepward", Secret: app.NewSecret("a password")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Hold(ctx); err != nil {
		t.Fatal(err)
	}
	short, end := context.WithTimeout(ctx, 200*time.Millisecond)
	defer end()
	if err := s.Exec(short, `INSERT INTO bench.written VALUES (now())`); err == nil {
		t.Error("it was written though the server is held")
	}
	if err := s.Exec(ctx, `INSERT INTO bench.written VALUES (now())`); err != nil {
		t.Errorf("the server did not let go: %v", err)
	}
	if err := a.Release(ctx); err == nil {
		t.Error("nobody says that the hold had ended before its time")
	}
	a.Close()
}

// TestAHoldThatFailsMayBeTriedAgain: the session is not ended for saying nothing until the next try.
func TestAHoldThatFailsMayBeTriedAgain(t *testing.T) {
	s := mariatest.Start(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Exec(ctx, grants); err != nil {
		t.Fatal(err)
	}
	opened, err := Kind{}.Open(ctx, app.Instance{Name: "main", Address: s.Socket, User: "keepward", Secret: app.NewSecret("a password")})
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	db := s.Open()
	defer db.Close()
	other, err := db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(ctx, "BACKUP STAGE START"); err != nil {
		t.Fatal(err)
	}
	if err := opened.Hold(ctx); errs.CodeOf(err) != "application.busy" {
		t.Fatalf("it is held beside another backup: %v", err)
	}
	var waits int
	if err := opened.(*instance).conn.QueryRowContext(ctx, "SELECT @@SESSION.wait_timeout").Scan(&waits); err != nil || waits < 3600 {
		t.Errorf("the server waits for %d seconds, %v", waits, err)
	}
	if _, err := other.ExecContext(ctx, "BACKUP STAGE END"); err != nil {
		t.Fatal(err)
	}
	if err := opened.Hold(ctx); err != nil {
		t.Error(err)
	}
	if err := opened.Release(ctx); err != nil {
		t.Error(err)
	}
}

// TestACopyLeavesThoseOfOthersAlone: servers of several jobs may have one directory for their copies.
func TestACopyLeavesThoseOfOthersAlone(t *testing.T) {
	in, over := t.TempDir(), t.Context()
	scratch := func(job string) string {
		i := &instance{in: app.Instance{Name: "main", Job: job}, over: over}
		dir, err := i.scratch(in)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
		return dir
	}
	first, other := scratch("docs"), scratch("mail")
	again := scratch("docs") // its process was killed, or has not removed it yet
	for dir, want := range map[string]bool{first: false, other: true, again: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s is there: %v", dir, err == nil)
		}
	}
	if first == again {
		t.Error("what is removed late is the copy of the next try")
	}
}

func TestOtherServersAreRefused(t *testing.T) {
	for _, c := range []struct{ version, comment, want string }{
		{"8.0.40", "MySQL Community Server - GPL", "no MariaDB"},
		{"8.0.40-0ubuntu0.22.04.1", "(Ubuntu)", "no MariaDB"},
		{"10.3.39-MariaDB", "mariadb.org", "older"},
		{"5.5.68-MariaDB", "MariaDB Server", "older"},
		{"10.11.19-MariaDB-0+deb12u1", "Debian 12", ""},
		{"11.8.2-MariaDB-log", "mariadb.org", ""},
	} {
		_, err := supported(c.version, c.comment)
		if c.want == "" && err != nil || c.want != "" && (errs.CodeOf(err) != "application.unfit" || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.version, err, c.want)
		}
	}
}

func TestProgramsOfAnotherVersionAreNotTaken(t *testing.T) {
	dir := t.TempDir()
	text := "#!/bin/sh\necho 'mariadbd  Ver 11.4.2-MariaDB for debian-linux-gnu on x86_64'\n"
	if err := os.WriteFile(filepath.Join(dir, "mariadbd"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := program("mariadbd", "11.4", dir); err != nil || got != filepath.Join(dir, "mariadbd") {
		t.Errorf("%s, %v", got, err)
	}
	_, err := program("mariadbd", "10.11", dir)
	if errs.CodeOf(err) != "application.programs" || !strings.Contains(err.Error(), "11.4.2") {
		t.Errorf("%v, want that it is another version", err)
	}
}

func TestAddresses(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"": usualSocket, dir: filepath.Join(dir, socketName), "/a/b.sock": "/a/b.sock", "db": "db:3306", "db:3307": "db:3307", "[::1]:3306": "[::1]:3306", "::1": "[::1]:3306",
		"db:x": "!", ":3306": "!", "db:99999": "!",
	} {
		at, err := address(text)
		if want == "!" && errs.CodeOf(err) != "application.address" || want != "!" && at.String() != want {
			t.Errorf("%q is %s, %v; want %s", text, at, err, want)
		}
	}
}

// freePort is one that nobody gets by chance: connections that go out have numbers above these.
func freePort(t *testing.T) string {
	t.Helper()
	for n := 20000 + os.Getpid()%10000; n < 32000; n++ {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n))); err == nil {
			_ = l.Close() // the server takes it
			return strconv.Itoa(n)
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// TestACopyOverTCP: mariadb-backup gets in as the agent does, and what it copies belongs to whom the
// server's files do. A copy for which there is no room, or that is ended, is an error that says so.
func TestACopyOverTCP(t *testing.T) {
	port := freePort(t)
	s := mariatest.Start(t, "--skip-networking=0", "--bind-address=127.0.0.1", "--port="+port)
	if err := s.Exec(t.Context(), strings.ReplaceAll(strings.ReplaceAll(grants, "localhost", "'127.0.0.1'"), "a password", `a "pass\'word" \\with # signs`)); err != nil {
		t.Fatal(err)
	}
	in := app.Instance{Name: "main", Address: "127.0.0.1:" + port, User: "keepward", Secret: app.NewSecret(`a "pass'word" \with # signs`), Settings: map[string]string{"tls": "disable", "scratch": t.TempDir()}}
	opened, err := Kind{}.Open(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	i := opened.(*instance)
	ended, end := context.WithCancelCause(t.Context())
	end(errs.New(errs.Cancelled, "attempt.killed", "enough"))
	if _, err := i.Copy(ended, t.TempDir()); errs.CodeOf(err) != "attempt.killed" {
		t.Errorf("a copy that was ended: %v", err)
	}
	trees, err := i.Copy(t.Context(), t.TempDir())
	if err != nil || len(trees) != 1 {
		t.Fatalf("%v, %v", trees, err)
	}
	uid, _, _ := ownerOf(s.Data)
	if got, _, err := ownerOf(filepath.Join(trees[0].Path, "ibdata1")); err != nil || got != uid || uid == 0 {
		t.Errorf("the copy belongs to %d, %v, want %d", got, err, uid)
	}
	more := t.TempDir()
	if _, err := opened.End(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if a := i.about; !a.Copy || a.File == "" || a.Position == 0 || len(a.Logs) == 0 || a.Marked.Before(a.State) {
		t.Errorf("of the copy is known %+v", a)
	}
	opened.Close()
	within := time.Now().Add(app.HoldMost)
	for {
		if _, err := os.Stat(trees[0].Path); os.IsNotExist(err) {
			break
		}
		if time.Now().After(within) {
			t.Fatal("the copy is left")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
