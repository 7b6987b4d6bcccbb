package sweep

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/repotest/manypoints"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs"
)

var large = flag.Bool("large", false, "sweep 1 000 000 chunks in 10 000 points, not a tenth of them")

const (
	maxAnonymous = 256 // MiB
	childDir     = "KEEPWARD_SWEEP_CHILD"
)

// unsynced is a file system that does not wait for the disk: the test is about memory.
type unsynced struct{ vfs.OS }

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }
func (unsynced) SyncDir(name string) error {
	_, err := os.Stat(name)
	return err
}

func (u unsynced) Create(name string) (vfs.File, error) {
	f, err := u.OS.Create(name)
	return unsyncedFile{f}, err
}

// The bound holds for a process of its own, as a mover is one.
func TestASweepOfManyPointsStaysSmall(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		sweepChild(t, dir)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	points := 1000
	if *large {
		points = 10_000
	}
	dir := t.TempDir()
	must(t, manypoints.Generate(t.Context(), filepath.Join(dir, "r"), repotest.NewSite(), manypoints.Options{Points: points, Deleted: points / 2, When: time.Unix(1_700_000_000, 0)}))
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestASweepOfManyPointsStaysSmall$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+filepath.Join(dir, "r"))
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func sweepChild(t *testing.T, dir string) {
	ctx := context.Background()
	r, err := repo.Open(ctx, storage.NewDir(unsynced{}, dir))
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	var purge []point.Attempt
	for m, err := range r.Markers(ctx) {
		must(t, err)
		purge = append(purge, m.Attempt)
	}
	peak := int64(0)
	began, last := time.Now(), Step("")
	o := Options{Attempt: repotest.Attempt(60_000), Term: 1, Purge: purge, Progress: func(s Step, done, _ int64) {
		if s != last {
			t.Logf("%-12s after %v, %d MiB anonymous", s, time.Since(began).Round(time.Millisecond), anonymous(t)>>20)
			last = s
		}
		if done%100 == 0 {
			peak = max(peak, anonymous(t))
		}
	}}
	report, err := Run(ctx, r, o)
	must(t, err)
	t.Logf("purged %d, deleted %d packs, spared %d; %v; peak %d MiB anonymous, %d MiB in all", len(report.Purged), report.DeletedPacks, report.SparedPacks,
		time.Since(began).Round(time.Millisecond), peak>>20, status(t, "VmHWM")>>20)
	if !report.Done || len(report.Purged) != len(purge) || report.DeletedPacks == 0 {
		t.Fatalf("%+v", report.Refused)
	}
	if peak > maxAnonymous<<20 {
		t.Fatalf("%d MiB of anonymous memory", peak>>20)
	}
}

func anonymous(t *testing.T) int64 { return status(t, "RssAnon") }

func status(t *testing.T, field string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}
