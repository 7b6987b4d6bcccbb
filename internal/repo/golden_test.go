package repo

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/point"
	"keepward/internal/storage"
)

var update = flag.Bool("update", false, "make the golden repository anew; only for a new format version")

const golden = "testdata/golden-v1"

// The golden repository was written by the first version of the format. Every later one must
// read it, with nothing but the recovery key.
func TestTheGoldenRepositoryIsRead(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	if *update {
		makeGolden(t, s)
	}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(golden)))
	d, err := storage.OpenDir(dir)
	must(t, err)
	r, err := Open(ctx, d)
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	if diff := cmp.Diff(s.config(), r.Config()); diff != "" {
		t.Fatal(diff)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(golden), "recovery-key.txt"))
	must(t, err)
	k, err := ParseRecovery(string(text))
	must(t, err)
	m, err := r.UnwrapMaster(ctx, Unlock{RecoveryKey: k.Text()})
	if err != nil || m != s.master {
		t.Fatal(err)
	}
	for _, b := range historyBackups(s) {
		files, failed, err := restore(ctx, r, s, b.computer, b.attempt)
		if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
			t.Fatalf("point %s: %v, failed %v, diff %s", b.attempt, err, failed, diff)
		}
	}
	content, err := r.Point(ctx, attemptNumber(51))
	must(t, err)
	if p, err := point.Parse(content); err != nil || p.Type != point.Tombstone || p.Reason != "test" {
		t.Fatalf("tombstone: %+v, %v", p, err)
	}
	if _, err := r.LatestCheckpoint(ctx, historyBackups(s)[1].attempt); err != nil {
		t.Fatal(err)
	}
	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
	if err != nil || len(report.Findings) != 0 {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
	next := &backup{s: s, computer: "web1", attempt: attemptNumber(9), files: historyBackups(s)[0].files}
	if stats, err := next.run(ctx, r); err != nil || stats.Bytes > 3000 {
		t.Fatalf("a backup on top of it: %+v, %v", stats, err)
	}
}

func makeGolden(t *testing.T, s *site) {
	t.Helper()
	ctx := context.Background()
	must(t, os.RemoveAll(golden))
	d, err := storage.OpenDir(golden)
	must(t, err)
	s.create(t, d)
	for i, b := range historyBackups(s) {
		r, err := Open(ctx, d)
		must(t, err)
		must(t, b.live(ctx, r, i == 1))
		_, err = r.Fence(ctx, attemptNumber(50+i), "test")
		must(t, err)
		must(t, r.Close())
	}
	must(t, os.Remove(filepath.Join(golden, tmpDir)))
	must(t, os.WriteFile(filepath.Join(filepath.Dir(golden), "recovery-key.txt"), []byte(s.rec.Text()), 0o600))
}
