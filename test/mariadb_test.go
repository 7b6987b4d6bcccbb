package test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepward/internal/app/mariadb/mariatest"
)

// backupUser is whom backups are made as, with no more rights than docs/user/mariadb.md gives it.
const backupUser = `CREATE USER keepward@localhost IDENTIFIED BY 'a secret of two words';
GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO keepward@localhost;
CREATE DATABASE bench`

// mySite is a site with a computer on which a server of MariaDB runs.
type mySite struct {
	*fleet
	my *mariatest.Server
}

// newMySite starts a server; with btrfs its data is where there are snapshots.
func newMySite(t *testing.T, btrfs bool) *mySite {
	t.Helper()
	if !mariatest.Here() {
		leaveOut(t, "no MariaDB here, or not root")
	}
	needPrograms(t, "mariadb-backup", "mariadb-check", "mariadb-binlog")
	s := &mySite{}
	if btrfs {
		disk := btrfsDisk(t)
		s.my = mariatest.StartIn(t, disk, filepath.Join(disk, "data"))
		t.Cleanup(s.my.Down)
	} else {
		s.my = mariatest.Start(t)
	}
	s.fleet = newFleet(t, "db1", "db2")
	s.must(s.my.Exec(context.Background(), backupUser))
	s.credential("my", "keepward", "a secret of two words")
	s.credential("super", "root", mariatest.Password)
	return s
}

// btrfsDisk mounts a btrfs of its own.
func btrfsDisk(t *testing.T) string {
	t.Helper()
	needPrograms(t, "mkfs.btrfs", "mount", "umount", "losetup")
	dir := tempDir(t)
	image, disk := filepath.Join(dir, "disk.img"), filepath.Join(dir, "disk")
	for _, err := range []error{os.Chmod(dir, 0o755), os.WriteFile(image, nil, 0o600), os.Truncate(image, 1<<30), os.Mkdir(disk, 0o755)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	command(t, "mkfs.btrfs", "-q", image)
	command(t, "mount", "-o", "loop", image, disk)
	t.Cleanup(func() { command(t, "umount", "-l", disk) })
	return disk
}

// job makes a job of the server.
func (s *mySite) job(name, more string, args ...string) {
	s.t.Helper()
	s.createJob(name, "db1", nil, append([]string{"--application", "mariadb,address=" + s.my.Socket + more}, args...)...)
}

// to is a new directory to restore to, which the user of the server may enter.
func (s *mySite) to() string {
	to := filepath.Join(tempDir(s.t), "restored")
	s.must(os.Chmod(filepath.Dir(to), 0o755))
	return to
}

// restored is a fresh server on what a restore left. It has passed its check.
func (s *mySite) restored(args ...string) *mariatest.Server {
	s.t.Helper()
	to := s.to()
	s.do(append([]string{"restore", "mariadb", "--computer", "db1", "--to", to, "--wait"}, args...)...)
	r := s.my.On(s.t, filepath.Join(to, "files", "data"))
	out := r.Run(s.t, "/usr/bin/mariadb-check", "--no-defaults", "--socket="+r.Socket, "--user=root", "--password="+mariatest.Password, "--all-databases", "--check")
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[len(f)-1] != "OK" {
			s.t.Errorf("mariadb-check says %s", line)
		}
	}
	if n := r.Query(s.t, `SELECT count(*) FROM mysql.user WHERE user = 'keepward_recovery'`); n != "0" {
		s.t.Error("the user of the recovery is left")
	}
	return r
}

// workPace is between two transactions of a writer: other work of the machine goes on as well.
const workPace = 2 * time.Millisecond

// work moves money between accounts and notes each transaction, until ctx is over.
func (s *mySite) work(ctx context.Context, db *sql.DB, seed int) error {
	for n := seed; ctx.Err() == nil; n++ {
		time.Sleep(workPace)
		from, to := n*7%100, (n*11+1)%100
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		for _, q := range []string{
			"UPDATE bench.accounts SET balance = balance - 1 WHERE id = " + strconv.Itoa(from),
			"UPDATE bench.accounts SET balance = balance + 1 WHERE id = " + strconv.Itoa(to),
			"INSERT INTO bench.history (source, target) VALUES (" + strconv.Itoa(from) + ", " + strconv.Itoa(to) + ")",
		} {
			if _, err := tx.Exec(q); err != nil {
				_ = tx.Rollback()
				if strings.Contains(err.Error(), "Deadlock") {
					break
				}
				return err
			}
		}
		if err := tx.Commit(); err != nil && err != sql.ErrTxDone {
			return err
		}
		if _, err := db.Exec("INSERT INTO bench.plain (n) VALUES (" + strconv.Itoa(n) + ")"); err != nil {
			return err
		}
	}
	return nil
}

// TestMariaDBUnderAWriter: where there are no snapshots, each backup of a busy server comes back as a
// whole one.
func TestMariaDBUnderAWriter(t *testing.T) {
	backups := 2
	if n, err := strconv.Atoi(os.Getenv("KEEPWARD_BACKUPS")); err == nil {
		backups = n
	}
	s := newMySite(t, os.Getenv("KEEPWARD_BTRFS") != "")
	s.must(s.my.Exec(context.Background(), `CREATE TABLE bench.accounts (id int PRIMARY KEY, balance int NOT NULL, KEY (balance)) ENGINE=InnoDB;
		CREATE TABLE bench.history (id int AUTO_INCREMENT PRIMARY KEY, source int, target int) ENGINE=InnoDB;
		CREATE TABLE bench.plain (id int AUTO_INCREMENT PRIMARY KEY, n int) ENGINE=Aria;
		INSERT INTO bench.accounts SELECT seq, 0 FROM bench.seq_0_to_99`))
	s.job("my", ",credential=my")
	ctx, stop := context.WithCancel(context.Background())
	db := s.my.Open()
	defer db.Close()
	over := make(chan error, 2) // an end each
	for seed := range 2 {
		go func() { over <- s.work(ctx, db, seed*50) }()
	}
	if backups == 2 {
		s.killedInACopy(t)
	}
	var points []string
	for range backups {
		points = append(points, s.run("my").Tasks[0].Point)
	}
	stop()
	s.must(<-over)
	s.must(<-over)
	s.logHas(t, "application.found", "application.protected")
	before := 0
	for i, p := range points {
		args := []string{"--point", p}
		if i == 0 {
			args = append(args, "--start", "--target", "db2") // recovered by Keepward; the others by who starts them
		}
		r := s.restored(args...)
		if i == 0 {
			s.logHas(t, "application.recovered", "application.sound")
		}
		if sum := r.Query(t, `SELECT sum(balance) FROM bench.accounts`); sum != "0" {
			t.Errorf("point %d: the accounts have %s together", i, sum)
		}
		if bad := r.Query(t, `SELECT count(*) FROM bench.accounts a WHERE balance <> (SELECT count(*) FROM bench.history WHERE target = a.id) - (SELECT count(*) FROM bench.history WHERE source = a.id)`); bad != "0" {
			t.Errorf("point %d: %s accounts are not what their history says", i, bad)
		}
		n, err := strconv.Atoi(r.Query(t, `SELECT count(*) FROM bench.history`))
		if s.must(err); n <= before {
			t.Errorf("point %d has %d transactions, the one before %d", i, n, before)
		}
		t.Logf("point %d: %d transactions, %s rows without", i, n, r.Query(t, `SELECT count(*) FROM bench.plain`))
		before = n
		r.Down()
	}
	if backups == 2 {
		s.fullDisk(t)
	}
}

// killedInACopy: mariadb-backup ends with the agent, and nothing is held.
func (s *mySite) killedInACopy(t *testing.T) {
	id := s.start("my")
	within(t, time.Minute, func() bool { return processes(t, "--target-dir="+s.Dir) > 0 })
	s.agent["db1"].Kill()
	within(t, 10*time.Second, func() bool {
		return processes(t, "--target-dir="+s.Dir) == 0 && s.my.Query(t, `SELECT count(*) FROM information_schema.processlist WHERE user = 'keepward'`) == "0"
	})
	s.must(s.my.Exec(context.Background(), `INSERT INTO bench.plain (n) VALUES (0)`))
	s.do("session", "kill", strconv.FormatInt(id, 10))
	s.must(s.agent["db1"].Start())
	s.final(id, "Killed", "Completed")
}

// processes counts those that have a text in their arguments.
func processes(t *testing.T, text string) (n int) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		b, _ := os.ReadFile(f) // a process that has just ended has none
		if strings.Contains(string(b), "a secret of two words") {
			t.Errorf("a secret is in an argument: %q", b)
		}
		if strings.Contains(string(b), text) {
			n++
		}
	}
	return n
}

// fullDisk: a restore to a disk that is full fails for that, and leaves nobody running.
func (s *mySite) fullDisk(t *testing.T) {
	disk := filepath.Join(tempDir(t), "small")
	s.must(os.Mkdir(disk, 0o755))
	command(t, "mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk)
	t.Cleanup(func() { command(t, "umount", "-l", disk) })
	r, err := s.CLI("restore", "mariadb", "--computer", "db1", "--to", filepath.Join(disk, "restored"), "--start", "--wait")
	s.must(err)
	if r.Code == 0 || !strings.Contains(r.String(), "no space left") {
		t.Errorf("a restore to a full disk: %s", r)
	}
	if n := processes(t, disk); n > 0 {
		t.Errorf("%d processes are left", n)
	}
}

// TestMariaDBToAPointInTime: from a snapshot, and between two backups, all that was acknowledged by then
// is there, and nothing that was begun later. The database goes into the running server.
func TestMariaDBToAPointInTime(t *testing.T) {
	s := newMySite(t, true)
	s.must(s.my.Exec(context.Background(), `CREATE TABLE bench.written (n int PRIMARY KEY)`))
	s.job("my", ",credential=my")
	s.run("my")
	s.logHas(t, "snapshot.hold")
	ctx, stop := context.WithCancel(context.Background())
	var w writes
	over := make(chan error, 1) // one end
	go func() { over <- s.write(ctx, &w) }()
	w.more(t, 200)
	// A user that came in between, and a time that has come: logs know whole seconds.
	s.must(s.my.Exec(context.Background(), `CREATE USER other@localhost IDENTIFIED BY 'x'`))
	at := time.Now().Truncate(time.Second).Add(time.Second)
	within(t, time.Minute, func() bool { return time.Now().After(at) })
	w.more(t, w.done()+200)
	s.run("my")
	stop()
	s.must(<-over)

	to := s.to()
	s.do("restore", "mariadb", "--computer", "db1", "--to-time", at.UTC().Format(time.RFC3339Nano), "--to", to, "--into", s.my.Socket, "--credential", "super", "--database", "bench", "--as", "before", "--wait")
	s.logHas(t, "application.played", "application.loaded")
	s.compare(t, &w, at)
	// What is in the directory is a server of its own, which nobody needs Keepward for.
	r := s.my.On(t, filepath.Join(to, "files", "data"))
	if got := r.Query(t, `SELECT count(*) FROM mysql.user WHERE user IN ('other', 'keepward_recovery')`); got != "1" {
		t.Errorf("%s users are there, want the one that came in between alone", got)
	}
	// What no later point reaches cannot be had.
	f, err := s.CLI("restore", "mariadb", "--computer", "db1", "--to-time", time.Now().UTC().Format(time.RFC3339Nano), "--to", s.to(), "--wait")
	s.must(err)
	if f.Code == 0 || !strings.Contains(f.String(), "no later point") {
		t.Errorf("a time behind all points: %s", f)
	}
	s.credential("my", "keepward", "not the right one")
	s.wrongPassword(t)
}

func (s *mySite) write(ctx context.Context, w *writes) error {
	db := s.my.Open()
	defer db.Close()
	for n := 0; ctx.Err() == nil; n++ {
		w.mu.Lock()
		w.begun = append(w.begun, time.Now())
		w.mu.Unlock()
		if _, err := db.Exec(`INSERT INTO bench.written VALUES (` + strconv.Itoa(n) + `)`); err != nil {
			return err
		}
		w.mu.Lock()
		w.acked = append(w.acked, time.Now())
		w.mu.Unlock()
	}
	return nil
}

// compare looks for what was written in what was loaded.
func (s *mySite) compare(t *testing.T, w *writes, at time.Time) {
	db := s.my.Open()
	defer db.Close()
	rows, err := db.Query(`SELECT n FROM ` + "`before`" + `.written`)
	s.must(err)
	defer rows.Close()
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
}

// wrongPassword: it fails the backup for good, or is a warning and the files come alone.
func (s *mySite) wrongPassword(t *testing.T) {
	s.job("strict", ",credential=my")
	r, err := s.CLI("job", "run", "strict", "--wait")
	s.must(err)
	last := s.last("strict", "Failed")
	if r.Code != 1 || last.GetFailure().GetCode() != "application.denied" || !strings.Contains(last.GetFailure().GetMessage(), "Access denied") || last.Tasks[0].GetAttempt() != 1 {
		t.Errorf("%s\n%v\n%s", r, last.GetFailure(), s.sessionLog(last.Id))
	}
	file := filepath.Join(s.Dir, "a file")
	s.must(os.WriteFile(file, []byte("content"), 0o600))
	s.createJob("mild", "db1", []string{file}, "--application", "mariadb,mode=try,credential=my,address="+s.my.Socket)
	if r, err = s.CLI("job", "run", "mild", "--wait"); err != nil || r.Code != 3 {
		t.Errorf("%v: %s", err, r)
	}
	s.last("mild", "Completed w/ warnings")
	s.logHas(t, "application.unprotected")
	s.isNowhere("not the right one")
	s.isNowhere("a secret of two words")
}
