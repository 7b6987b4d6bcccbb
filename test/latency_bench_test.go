package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// BenchmarkLatency is what the clients of a busy PostgreSQL notice of a backup on the same computer:
// the longest of 99 of 100 transactions, as p99-ms, with nothing beside it, beside first backups of
// /usr by Keepward, gentle and at full speed, and beside those of restic where PATH has it. Each
// round does all of them once; the figures are medians.
//
//	KEEPWARD_BIN=bin/keepward go test ./test -run xxx -bench Latency -benchtime 3x
func BenchmarkLatency(b *testing.B) {
	needRoot(b)
	needPrograms(b, "pgbench", "psql", "runuser")
	pg := startPostgres(b)
	pg.run(b, "pgbench", "-q", "-i", "-s", "20", "postgres")
	f := newFleet(b, "web1")
	f.createJob("gentle", "web1", []string{"/usr"}, "--no-tracking")
	f.createJob("full", "web1", []string{"/usr"}, "--no-tracking", "--full-speed")
	repo := tempDir(b)
	restic := func(args ...string) *exec.Cmd {
		cmd := exec.Command("restic", append([]string{"-q", "--repo", filepath.Join(repo, "r"), "--compression", "fastest"}, args...)...)
		cmd.Env = append(os.Environ(), "RESTIC_PASSWORD=x", "RESTIC_CACHE_DIR="+filepath.Join(repo, "cache"))
		return cmd
	}
	keepward := func(job string) func() error {
		return func() error { _, err := f.Do("job", "run", job, "--full"); return err }
	}
	beside := []struct {
		name string
		work func() error // nil: nothing
	}{
		{"alone", nil},
		{"keepward", keepward("gentle")},
		{"keepward-full-speed", keepward("full")},
	}
	if _, err := exec.LookPath("restic"); err == nil {
		beside = append(beside, struct {
			name string
			work func() error
		}{"restic", func() error {
			if err := os.RemoveAll(filepath.Join(repo, "r")); err != nil {
				return err
			}
			if err := restic("init").Run(); err != nil {
				return err
			}
			return restic("backup", "/usr").Run()
		}})
	} else {
		b.Log("restic is missing: it is not measured")
	}
	took := map[string][]float64{}
	for b.Loop() {
		for _, w := range beside {
			took[w.name] = append(took[w.name], pg.latency(b, w.work))
		}
	}
	for _, w := range beside {
		b.Logf("%s, round by round: %.1f ms", w.name, took[w.name])
		slices.Sort(took[w.name])
		b.ReportMetric(took[w.name][len(took[w.name])/2], w.name+"-p99-ms")
	}
}

// postgres is a server of its own, that takes no part of the system's.
type postgres struct{ dir, user string }

func startPostgres(b testing.TB) *postgres {
	b.Helper()
	initdb, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(initdb) == 0 {
		leaveOut(b, "needs PostgreSQL")
	}
	pg := &postgres{dir: tempDir(b), user: "postgres"}
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
// machine has well, while work is done again and again.
func (pg *postgres) latency(b testing.TB, work func() error) float64 {
	b.Helper()
	stop, stopped := make(chan struct{}), make(chan error, 1) // one answer, read at the end
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if work == nil {
				<-stop
				continue
			}
			if err := work(); err != nil {
				stopped <- err
				return
			}
		}
	}()
	time.Sleep(time.Second) // it is at work
	prefix := filepath.Join(pg.dir, "tx")
	pg.run(b, "pgbench", "-n", "-c", "4", "-j", "1", "-R", "150", "-T", "15", "-l", "--log-prefix", prefix, "postgres")
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
