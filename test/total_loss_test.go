package test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/treegen"
	"keepward/test/site"
)

const (
	lossFiles = 100_000
	keptAgent = "kept-agent" // its data directory, between the two servers
	// lossGoal is how long the first file may take to come back, from the first command on.
	lossGoal = 2 * time.Minute
)

// The directories of server and transport are gone; what is left is the repository, its recovery
// key, and the computer with its agent, which knows the lost server only. By the steps of docs/operator/recovery.md everything that
// the repository tells is back: points, computers, jobs.
func TestTheLossOfTheWholeServer(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	src, key := filepath.Join(dir, "src"), filepath.Join(dir, "main.key")
	must(t, treegen.Small(src, lossFiles))
	repository := filepath.Join(dir, "repository")
	before := surviving(t, dir, src, repository, key)

	began := time.Now()
	s := another(t, filepath.Join(dir, "second"))
	_, err := s.AddTransport("newstore")
	must(t, err)
	var got keepwardv1.CatalogProgress
	must(t, s.Message(&got, "repository", "attach", "main", "--transport", "newstore", "--path", repository, "--recovery-key", key, "--take-over"))
	if got.AddedPoints != 2 || fmt.Sprint(got.AddedJobs) != "[docs]" || fmt.Sprint(got.AddedComputers) != "[web1]" {
		t.Errorf("attached: %v", &got)
	}
	must(t, os.Rename(filepath.Join(dir, keptAgent), filepath.Join(s.Dir, "web1")))
	_, err = s.AddAgent("web1")
	must(t, err)
	files, err := site.Files(src)
	must(t, err)
	one, to := files[len(files)/2], filepath.Join(dir, "one")
	_, err = s.Do("restore", "files", "--computer", "web1", "--point", "latest", "--path", one, "--to", to, "--wait")
	must(t, err)
	took := time.Since(began)
	want, err := os.ReadFile(one)
	must(t, err)
	if back, err := os.ReadFile(filepath.Join(to, one)); err != nil || string(back) != string(want) {
		t.Errorf("the first file is not as it was: %v", err)
	}
	t.Logf("first of %d files back %.1f s after the first command", lossFiles, took.Seconds())
	if took > lossGoal {
		t.Errorf("the first file took %s, the goal is %s", took, lossGoal)
	}

	after, err := s.Points("web1")
	must(t, err)
	for i := range before {
		if a, b := before[i], after[i]; a.Id != b.Id || !a.Time.AsTime().Equal(b.Time.AsTime()) || a.Job != b.Job || a.Session != b.Session || a.Parent != b.Parent || a.Full != b.Full {
			t.Errorf("point %d was %v and is %v", i, a, b)
		}
	}
	_, err = s.Do("restore", "files", "--computer", "web1", "--point", before[1].Id, "--to", filepath.Join(dir, "all"), "--wait")
	must(t, err)
	same(t, src, filepath.Join(dir, "all", src))

	// The job is there, disabled; it goes on where it was.
	_, err = s.Do("job", "enable", "docs")
	must(t, err)
	_, err = s.Do("job", "run", "docs", "--wait")
	must(t, err)
	last, err := s.LastSession("docs")
	must(t, err)
	c := last.GetProgress().GetCounters()
	if last.Full || c.GetReadFiles() > 0 || c.GetReusedFiles() < lossFiles || last.Id <= before[0].Session {
		t.Errorf("the next session is %d, full %v, read %d files and took over %d", last.Id, last.Full, c.GetReadFiles(), c.GetReusedFiles())
	}
}

// surviving makes a site with two points, and lets nothing of it survive but repository and key.
func surviving(t *testing.T, dir, src, repository, key string) []*keepwardv1.Point {
	t.Helper()
	home := filepath.Join(dir, "first")
	s := another(t, home)
	_, err := s.AddTransport("store")
	must(t, err)
	_, err = s.AddAgent("web1")
	must(t, err)
	for _, args := range [][]string{
		{"repository", "create", "main", "--transport", "store", "--path", repository, "--recovery-key-out", key},
		{"job", "create", "docs", "--computer", "web1", "--include", src, "--repository", "main", "--schedule", "daily 22:00"},
		{"job", "run", "docs", "--wait"},
		{"job", "run", "docs", "--wait"},
	} {
		_, err := s.Do(args...)
		must(t, err)
	}
	points, err := s.Points("web1")
	must(t, err)
	must(t, s.Close())
	must(t, os.Rename(filepath.Join(s.Dir, "web1"), filepath.Join(dir, keptAgent)))
	must(t, os.RemoveAll(home))
	return points
}

func another(t *testing.T, home string) *site.Site {
	t.Helper()
	s, err := site.Start(binary, home)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
