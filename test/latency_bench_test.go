package test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkLatency is what the clients of a busy PostgreSQL notice of a backup on the same computer:
// the longest of 99 of 100 transactions, as p99-ms, with nothing beside it, beside first backups of
// /usr by Keepward, gentle and at full speed, and beside those of restic where PATH has it; and how
// many times as long as with nothing beside it. Each round does all of them once, one after the
// other; the figures are medians.
//
// The repositories are in memory: those of a computer that is protected are on another one. Server and
// data mover still take their share of this one's processors, at their usual priority. The database
// lies in memory, so that what its clients wait for is the processors, and on the disk.
//
//	KEEPWARD_BIN=bin/keepward go test ./test -run xxx -bench Latency -benchtime 5x -timeout 0
func BenchmarkLatency(b *testing.B) {
	b.Run("memory", func(b *testing.B) { measureLatency(b, inMemory(b)) })
	b.Run("disk", func(b *testing.B) { measureLatency(b, tempDir(b)) })
}

func measureLatency(b *testing.B, database string) {
	needRoot(b)
	needPrograms(b, "pgbench", "psql", "runuser", "setsid")
	pg := startPostgres(b, database)
	pg.run(b, "pgbench", "-q", "-i", "-s", "20", "postgres")
	f := newServer(b)
	f.Services = true
	f.addTransport("store")
	f.addAgent("web1")
	beside := []struct {
		name string
		work func(dir string) error // in an empty directory; nil: nothing
	}{
		{"alone", nil},
		{"keepward", func(dir string) error { return f.firstBackup(dir, "/usr") }},
		{"keepward-full-speed", func(dir string) error { return f.firstBackup(dir, "/usr", "--full-speed") }},
	}
	if _, err := exec.LookPath("restic"); err == nil {
		beside = append(beside, struct {
			name string
			work func(dir string) error
		}{"restic", func(dir string) error { return resticBackup(dir, "/usr") }})
	} else {
		b.Log("restic is missing: it is not measured")
	}
	memory := inMemory(b)
	took := map[string][]float64{}
	for b.Loop() {
		for _, w := range beside {
			took[w.name] = append(took[w.name], pg.latency(b, memory, w.work))
		}
	}
	alone := median(took["alone"])
	for _, w := range beside {
		b.Logf("%s, round by round: %.1f ms", w.name, took[w.name])
		b.ReportMetric(median(took[w.name]), w.name+"-p99-ms")
		if w.work != nil {
			b.ReportMetric(median(took[w.name])/alone, w.name+"-times-alone")
		}
	}
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}

// firstBackup backs a directory of web1 up into a new repository.
func (f *fleet) firstBackup(dir, include string, args ...string) error {
	name := "latency-" + filepath.Base(dir)
	for _, line := range [][]string{
		{"repository", "create", name, "--transport", f.store.Name, "--path", filepath.Join(dir, "repository")},
		append([]string{"job", "create", name, "--computer", "web1", "--repository", name, "--include", include, "--no-tracking"}, args...),
		{"job", "run", name, "--wait"},
		{"job", "delete", name},
		{"repository", "detach", name},
	} {
		if _, err := f.Do(line...); err != nil {
			return err
		}
	}
	return nil
}

func resticBackup(dir, include string) error {
	for _, args := range [][]string{{"init"}, {"backup", include}} {
		cmd := exec.Command("restic", append([]string{"-q", "--repo", filepath.Join(dir, "repository"), "--compression", "fastest"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // as a timer starts it
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x", "RESTIC_CACHE_DIR="+filepath.Join(dir, "cache"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("restic %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// inMemory is an empty directory in memory.
func inMemory(b testing.TB) string {
	b.Helper()
	dir := tempDir(b)
	command(b, "mount", "-t", "tmpfs", "-o", "size=8g", "tmpfs", dir)
	b.Cleanup(func() { command(b, "umount", "-l", dir) })
	return dir
}

// postgres is a server of its own, that takes no part of the system's.
type postgres struct{ dir, user string }

func startPostgres(b testing.TB, dir string) *postgres {
	b.Helper()
	initdb, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(initdb) == 0 {
		leaveOut(b, "needs PostgreSQL")
	}
	pg := &postgres{dir: dir, user: "postgres"}
	command(b, "chown", pg.user, pg.dir)
	data := filepath.Join(pg.dir, "data")
	pg.run(b, initdb[0], "-D", data, "-A", "trust")
	ctl := filepath.Join(filepath.Dir(initdb[0]), "pg_ctl")
	pg.run(b, ctl, "-D", data, "-w", "-l", filepath.Join(pg.dir, "log"), "-o", "-k "+pg.dir+" -c listen_addresses=''", "start")
	b.Cleanup(func() { pg.run(b, ctl, "-D", data, "-m", "immediate", "stop") })
	return pg
}

// run runs a program as the database's user.
func (pg *postgres) run(b testing.TB, args ...string) {
	b.Helper()
	command(b, "runuser", append([]string{"-u", pg.user, "--", "env", "PGHOST=" + pg.dir}, args...)...)
}

// latency is the longest of 99 of 100 transactions, in milliseconds, at a steady rate that the
// machine has well, while work is done again and again, each time in a new directory of dir.
func (pg *postgres) latency(b testing.TB, dir string, work func(dir string) error) float64 {
	b.Helper()
	unix.Sync()                                               // what was written before is not this round's
	stop, stopped := make(chan struct{}), make(chan error, 1) // one answer, read at the end
	go func() { stopped <- again(dir, work, stop) }()
	time.Sleep(2 * time.Second) // it is at work
	prefix := filepath.Join(pg.dir, "tx")
	pg.run(b, "pgbench", "-n", "-c", "4", "-j", "1", "-R", "150", "-T", "20", "-l", "--log-prefix", prefix, "postgres")
	close(stop)
	if err := <-stopped; err != nil {
		b.Fatal(err)
	}
	logs, err := filepath.Glob(prefix + ".*")
	if err != nil || len(logs) == 0 {
		b.Fatalf("pgbench wrote no log: %v", err)
	}
	var all []float64
	for _, name := range logs {
		f, err := os.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		for sc := bufio.NewScanner(f); sc.Scan(); {
			fields := strings.Fields(sc.Text()) // client, transaction, microseconds, …
			us, err := strconv.ParseFloat(fields[2], 64)
			if err != nil {
				b.Fatal(fmt.Errorf("read %s: %w", name, err))
			}
			all = append(all, us/1000)
		}
		_ = f.Close() // only read from
		if err := os.Remove(name); err != nil {
			b.Fatal(err)
		}
	}
	slices.Sort(all)
	return all[len(all)*99/100]
}

// again does work until it is stopped, once at least.
func again(dir string, work func(dir string) error, stop <-chan struct{}) error {
	if work == nil {
		<-stop
		return nil
	}
	for {
		own, err := os.MkdirTemp(dir, "")
		if err != nil {
			return err
		}
		if err := errors.Join(work(own), os.RemoveAll(own)); err != nil {
			return err
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}
