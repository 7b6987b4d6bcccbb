package test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/app/postgres/pgtest"
	"keepward/test/site"
)

// backupRole is what backups are made as, with no more rights than docs/user/postgresql.md gives it.
const backupRole = `CREATE ROLE keepward LOGIN REPLICATION PASSWORD 'a secret of two words';
GRANT pg_monitor TO keepward;
GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO keepward;
CREATE DATABASE bench`

// pgSite is a site with a computer on which a server of PostgreSQL runs.
type pgSite struct {
	*fleet
	pg *pgtest.Server
}

func newPgSite(t *testing.T, settings ...string) *pgSite {
	t.Helper()
	if pgtest.Programs() == "" {
		leaveOut(t, "no PostgreSQL here, or not root")
	}
	s := &pgSite{pg: pgtest.Start(t, settings...)}
	s.fleet = newFleet(t, "db1", "db2")
	for _, stmt := range strings.Split(backupRole, ";\n") {
		s.must(s.pg.Exec(context.Background(), "postgres", stmt))
	}
	s.credential("pg", "keepward", "a secret of two words")
	s.credential("super", "postgres", pgtest.Password)
	return s
}

func (s *fleet) credential(name, user, secret string) {
	s.t.Helper()
	file := filepath.Join(s.Dir, name+".secret")
	s.must(os.WriteFile(file, []byte(secret+"\n"), 0o600))
	s.do("credential", "create", name, "--user", user, "--file", file, "--replace")
}

// job makes a job of the server.
func (s *pgSite) job(name, more string, args ...string) {
	s.t.Helper()
	s.createJob(name, "db1", nil, append([]string{"--application", "postgresql,address=" + s.pg.Sockets + more}, args...)...)
}

// restored is the server that a restore left in a new directory, started on it.
func (s *pgSite) restored(args ...string) *pgtest.Server {
	s.t.Helper()
	to := filepath.Join(tempDir(s.t), "restored")
	s.must(os.Chmod(filepath.Dir(to), 0o755))
	s.do(append([]string{"restore", "postgresql", "--computer", "db1", "--to", to, "--wait"}, args...)...)
	r := s.pg.On(s.t, filepath.Join(to, "files", "data"))
	r.Configure(s.t, "unix_socket_directories = '"+r.Sockets+"'", "archive_mode = off")
	r.Up(s.t)
	return r
}

// TestPostgreSQLUnderLoad: each backup of a busy server comes back as a whole one.
func TestPostgreSQLUnderLoad(t *testing.T) {
	backups := 3
	if n, err := strconv.Atoi(os.Getenv("KEEPWARD_BACKUPS")); err == nil {
		backups = n
	}
	s := newPgSite(t)
	s.pg.Run(t, "pgbench", "-i", "-q", "-s", "2", "bench")
	s.job("pg", ",credential=pg")
	ctx, stop := context.WithCancel(context.Background())
	load := s.pg.Command(ctx, "pgbench", "-n", "-c", "2", "-R", "300", "-T", "3600", "bench")
	s.must(load.Start())
	var points []string
	for range backups {
		points = append(points, s.run("pg").Tasks[0].Point)
	}
	stop()
	_ = load.Wait() // it was killed
	s.logHas(t, "application.found", "application.protected")
	if os.Getenv("KEEPWARD_BACKUPS") != "" {
		t.Log(s.sessionLog(s.last("pg", "Completed").Id))
	}
	before := 0
	for i, p := range points {
		args := []string{"--point", p}
		if i == 0 {
			args = append(args, "--start") // recovered by Keepward; the others by who starts them
		} else if i == 1 {
			args = append(args, "--target", "db2")
		}
		r := s.restored(args...)
		if i == 0 {
			s.logHas(t, "application.sound", "application.recovered")
		}
		sums := r.Query(t, "bench", `SELECT (SELECT sum(abalance) FROM pgbench_accounts) || ' ' || (SELECT sum(tbalance) FROM pgbench_tellers) || ' ' ||
			(SELECT sum(bbalance) FROM pgbench_branches) || ' ' || (SELECT sum(delta) FROM pgbench_history)`)
		if f := strings.Fields(sums); f[0] != f[1] || f[1] != f[2] || f[2] != f[3] {
			t.Errorf("point %d: the sums of accounts, tellers, branches and history differ: %s", i, sums)
		}
		n, err := strconv.Atoi(r.Query(t, "bench", `SELECT count(*) FROM pgbench_history`))
		if s.must(err); n <= before {
			t.Errorf("point %d has %d transactions, the one before %d", i, n, before)
		}
		before = n
		r.Run(t, "pg_amcheck", "--install-missing", "--heapallindexed", "bench")
		r.Down()
	}
}

// logHas looks for events in the log of the newest session.
func (s *fleet) logHas(t *testing.T, codes ...string) {
	t.Helper()
	list, err := s.Sessions()
	s.must(err)
	events := s.eventsOf(list[0].Id)
	for _, code := range codes {
		found := false
		for _, e := range events {
			found = found || e.Code == code
			if strings.Contains(e.Text, "a secret of two words") || strings.Contains(e.Text, pgtest.Password) {
				t.Errorf("a secret is in the log: %s", e.Text)
			}
		}
		if !found {
			t.Errorf("no event %s in\n%s", code, s.sessionLog(list[0].Id))
		}
	}
}

// writes are transactions of one client, each with the moments before and after.
type writes struct {
	mu    sync.Mutex
	begun []time.Time
	acked []time.Time
}

func (s *pgSite) write(ctx context.Context, w *writes) error {
	conn, err := s.pg.Connect(ctx, "bench")
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	for n := 0; ctx.Err() == nil; n++ {
		w.mu.Lock()
		w.begun = append(w.begun, time.Now())
		w.mu.Unlock()
		if _, err := conn.Exec(context.WithoutCancel(ctx), `INSERT INTO written VALUES ($1)`, n); err != nil {
			return err
		}
		w.mu.Lock()
		w.acked = append(w.acked, time.Now())
		w.mu.Unlock()
	}
	return nil
}

func (w *writes) done() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// more waits until so many further transactions are acknowledged.
func (w *writes) more(t *testing.T, n int) {
	t.Helper()
	within(t, time.Minute, func() bool { return w.done() >= n })
}

func within(t *testing.T, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come in time")
		}
	}
}

// TestPostgreSQLToAPointInTime: between two backups, all that was acknowledged by then is there, and
// nothing that was begun later. The database goes into the running server.
func TestPostgreSQLToAPointInTime(t *testing.T) {
	s := newPgSite(t)
	s.must(s.pg.Exec(context.Background(), "bench", `CREATE TABLE written (n int PRIMARY KEY)`))
	s.job("pg", ",credential=pg")
	s.run("pg")
	ctx, stop := context.WithCancel(context.Background())
	var w writes
	over := make(chan error, 1) // one end
	go func() { over <- s.write(ctx, &w) }()
	w.more(t, 200)
	at := time.Now()
	w.more(t, w.done()+200)
	s.run("pg")
	stop()
	s.must(<-over)

	zone := at.UTC().Format(time.RFC3339Nano)
	to := filepath.Join(tempDir(t), "restored")
	s.must(os.Chmod(filepath.Dir(to), 0o755))
	s.do("restore", "postgresql", "--computer", "db1", "--to-time", zone, "--to", to, "--into", s.pg.Sockets, "--credential", "super", "--database", "bench", "--as", "before", "--wait")
	s.logHas(t, "application.loaded")
	conn, err := s.pg.Connect(context.Background(), "before")
	s.must(err)
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), `SELECT n FROM written`)
	s.must(err)
	there := map[int]bool{}
	for rows.Next() {
		var n int
		s.must(rows.Scan(&n))
		there[n] = true
	}
	s.must(rows.Err())
	acked, late := 0, 0
	for n := range w.acked {
		switch {
		case w.acked[n].Before(at):
			acked++
			if !there[n] {
				t.Errorf("transaction %d, acknowledged %v before, is not there", n, at.Sub(w.acked[n]))
			}
		case w.begun[n].After(at):
			late++
			if there[n] {
				t.Errorf("transaction %d, begun %v after, is there", n, w.begun[n].Sub(at))
			}
		}
	}
	if acked < 200 || late < 190 {
		t.Errorf("%d transactions before and %d after: that proves little", acked, late)
	}
	t.Logf("%d acknowledged before are there, %d begun after are not", acked, late)
	// What no later point reaches cannot be had, and what is not empty is not written to.
	r, err := s.CLI("restore", "postgresql", "--computer", "db1", "--to-time", time.Now().UTC().Format(time.RFC3339Nano), "--to", filepath.Join(filepath.Dir(to), "other"), "--wait")
	s.must(err)
	if r.Code == 0 || !strings.Contains(r.String(), "no later point") {
		t.Errorf("a time behind all points: %s", r)
	}
}

// TestPostgreSQLInterrupted: the backup of a busy server is paused in the middle, and lets go for a restore
// in the middle. Nothing is held meanwhile, and what it ends in comes back whole on a fresh server.
func TestPostgreSQLInterrupted(t *testing.T) {
	s := newPgSite(t)
	s.must(s.agent["db1"].Stop())
	s.must(s.agent["db1"].StartWith("--checkpoint-every", "1s"))
	s.pg.Run(t, "pgbench", "-i", "-q", "-s", "2", "bench")
	s.job("pg", ",credential=pg")
	s.run("pg") // what the restore is of
	// As it is stored some 60 MB, more than what is on its way.
	s.must(s.pg.Exec(context.Background(), "bench", `CREATE TABLE ballast AS SELECT n, md5(random()::text) || md5(random()::text) AS text FROM generate_series(1, 1500000) n`))
	ctx, stop := context.WithCancel(context.Background())
	load := s.pg.Command(ctx, "pgbench", "-n", "-c", "2", "-R", "300", "-T", "3600", "bench")
	s.must(load.Start())
	s.do("setting", "set", "restores_preempt_backups", "on")
	s.do("repository", "edit", "main", "--streams", "1", "--write-limit", "3MB/s")
	busy := func() string {
		return s.pg.Query(t, "postgres", `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keepward'`) + " sessions, " +
			s.pg.Query(t, "postgres", `SELECT count(*) FROM pg_replication_slots WHERE temporary OR active`) + " slots"
	}
	id := s.start("pg")
	inTheMiddle := func(attempt int32) {
		t.Helper()
		s.must(site.Until(time.Minute, "middle of an attempt", func() (bool, error) {
			one, err := s.Session(id)
			if one.GetEnded() != nil {
				t.Fatalf("it was done before it could be interrupted:\n%s", s.sessionLog(id))
			}
			k := one.GetTasks()[0]
			return k.GetAttempt() == attempt && k.GetStatus() == "Running" && k.GetProgress().GetCounters().GetSentBytes() > 1<<20, err
		}))
	}
	inTheMiddle(1)
	s.do("session", "suspend", sessionText(id))
	s.hasStatus(id, "Suspended", time.Minute)
	if got := busy(); got != "0 sessions, 0 slots" {
		t.Errorf("while it is suspended the server is kept by %s", got)
	}
	s.do("session", "resume", sessionText(id))
	inTheMiddle(2)
	s.restore("db1", "latest", "--target", "db2", "--path", "/~applications/postgresql/main/more") // db1 is busy, for which nobody lets go
	if got := s.statusesOf(id); !slices.Contains(got, "Interrupt Pending") {
		t.Errorf("it did not let go for the restore: %q", got)
	}
	s.do("repository", "edit", "main", "--write-limit", "")
	one := s.final(id, "Completed")
	if n := one.GetTasks()[0].GetAttempt(); n != 3 {
		t.Errorf("it took %d attempts, want 3", n)
	}
	stop()
	_ = load.Wait() // it was killed

	r := s.restored("--start", "--target", "db2", "--point", one.GetTasks()[0].GetPoint())
	sums := r.Query(t, "bench", `SELECT (SELECT sum(abalance) FROM pgbench_accounts) || ' ' || (SELECT sum(tbalance) FROM pgbench_tellers) || ' ' ||
		(SELECT sum(bbalance) FROM pgbench_branches) || ' ' || (SELECT sum(delta) FROM pgbench_history) || ' ' || (SELECT count(*) FROM ballast)`)
	if f := strings.Fields(sums); f[0] != f[1] || f[1] != f[2] || f[2] != f[3] || f[4] != "1500000" {
		t.Errorf("the sums of accounts, tellers, branches and history, and the rows: %s", sums)
	}
	r.Run(t, "pg_amcheck", "--install-missing", "--heapallindexed", "bench")
	r.Down()
}

// TestPostgreSQLWhenThingsGoWrong: a wrong password, and agents that are killed.
func TestPostgreSQLWhenThingsGoWrong(t *testing.T) {
	s := newPgSite(t)
	s.pg.Run(t, "pgbench", "-i", "-q", "-s", "5", "bench")
	s.job("pg", ",credential=pg")
	s.killedInABackup(t)
	s.run("pg")
	s.killedInARestore(t)
	s.credential("pg", "keepward", "not the right one")
	s.wrongPassword(t)
}

// wrongPassword: it fails the backup, or is a warning and the files come alone.
func (s *pgSite) wrongPassword(t *testing.T) {
	s.job("strict", ",credential=pg")
	r, err := s.CLI("job", "run", "strict", "--wait") // at the first attempt: the second would come in twenty minutes
	s.must(err)
	last := s.last("strict", "Failed")
	if r.Code != 1 || last.Tasks[0].GetAttempt() != 1 || last.GetFailure().GetCode() != "application.denied" || !strings.Contains(last.GetFailure().GetMessage(), "password authentication failed") {
		t.Errorf("%s\n%v\n%s", r, last.GetFailure(), s.sessionLog(last.Id))
	}
	file := filepath.Join(s.Dir, "a file")
	s.must(os.WriteFile(file, []byte("content"), 0o600))
	s.createJob("mild", "db1", []string{file}, "--application", "postgresql,mode=try,credential=pg,address="+s.pg.Sockets)
	if r, err = s.CLI("job", "run", "mild", "--wait"); err != nil || r.Code != 3 {
		t.Errorf("%v: %s", err, r)
	}
	s.last("mild", "Completed w/ warnings")
	s.logHas(t, "application.unprotected")
	if got, err := os.ReadFile(filepath.Join(s.restore("db1", "latest"), file)); err != nil || string(got) != "content" {
		t.Errorf("the file came back as %q, %v", got, err)
	}
	exported, err := s.Do("export")
	s.must(err)
	if strings.Contains(exported.Stdout, "the right one") || !strings.Contains(exported.Stdout, "credential: pg") {
		t.Errorf("exported: %s", exported.Stdout)
	}
	s.isNowhere("not the right one")
}

// killedInABackup: the session of the agent ends, and the backup mode with it.
func (s *pgSite) killedInABackup(t *testing.T) {
	id := s.start("pg")
	busy := func() string {
		return s.pg.Query(t, "postgres", `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keepward'`)
	}
	within(t, time.Minute, func() bool { return busy() == "1" })
	s.agent["db1"].Kill()
	within(t, 10*time.Second, func() bool { return busy() == "0" })
	if n := s.pg.Query(t, "postgres", `SELECT count(*) FROM pg_replication_slots WHERE temporary OR active`); n != "0" {
		t.Errorf("%s slots of a session are left", n)
	}
	s.do("session", "kill", strconv.FormatInt(id, 10))
	s.must(s.agent["db1"].Start())
	s.final(id, "Killed", "Completed")
}

// killedInARestore: the server that recovers ends with the agent, and the restore is over: that of a
// database is not tried again.
func (s *pgSite) killedInARestore(t *testing.T) {
	to := filepath.Join(tempDir(t), "restored")
	s.must(os.Chmod(filepath.Dir(to), 0o755))
	var made keepwardv1.StartSessionResponse
	s.must(s.Message(&made, "restore", "postgresql", "--computer", "db1", "--to", to, "--start"))
	running := func() (n int) {
		found, err := filepath.Glob("/proc/[0-9]*/cmdline")
		s.must(err)
		for _, f := range found {
			b, _ := os.ReadFile(f) // a process that has just ended has none
			if strings.Contains(string(b), to) || strings.HasPrefix(string(b), "postgres: keepward-recovery") {
				n++
			}
		}
		return n
	}
	within(t, time.Minute, func() bool { return running() > 0 })
	s.agent["db1"].Kill()
	within(t, 20*time.Second, func() bool { return running() == 0 })
	s.do("session", "kill", strconv.FormatInt(made.Session, 10))
	s.must(s.agent["db1"].Start())
	s.final(made.Session, "Killed", "Completed", "Failed")
}

// isNowhere looks for a secret in all that the site keeps, but in the file that it was read from.
func (s *fleet) isNowhere(secret string) {
	s.t.Helper()
	s.must(filepath.WalkDir(s.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".secret") {
			return nil // a file that has just gone has no secret either
		}
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), secret) {
			s.t.Errorf("the secret is in %s", path)
		}
		return nil
	}))
}
