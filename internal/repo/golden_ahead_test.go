package repo

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage"
)

// goldenAhead has the checkpoint of an attempt that was cut off in the middle of a file: fields 7
// and 8 of its root, which came to version 1 later.
const goldenAhead = "testdata/golden-v1-ahead"

// A checkpoint with what was read ahead is read by every later version, and by those that do not
// know of it as one without.
func TestTheGoldenCheckpointWithFilesReadAheadIsRead(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	b := historyBackups(s)[0]
	if *update {
		makeGoldenAhead(t, s, b)
	}
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(goldenAhead)))
	d, err := storage.OpenDir(dir)
	must(t, err)
	r, err := Open(ctx, d)
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	content, err := r.LatestCheckpoint(ctx, b.attempt)
	must(t, err)
	files, failed, err := s.kit().RestoreFrom(ctx, r, b.computer, content)
	must(t, err)
	want := maps.Clone(b.files)
	paths := slices.SortedFunc(maps.Keys(b.files), func(x, y string) int { return fileindex.ComparePaths([]byte(x), []byte(y)) })
	last := paths[len(paths)-1]
	begun := files[last]
	want[repotest.InodeAhead], want[last] = b.files[last], begun
	if diff := cmp.Diff(want, files); diff != "" || len(failed) > 0 {
		t.Errorf("failed %v, diff %s", failed, diff)
	}
	if begun == "" || begun == b.files[last] || !strings.HasPrefix(b.files[last], begun) {
		t.Errorf("%d of %d bytes of %s are no beginning", len(begun), len(b.files[last]), last)
	}
	report, err := r.Check(ctx, s.check(CheckOptions{ReadData: true}))
	if err != nil || len(report.Findings) != 0 {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
}

func makeGoldenAhead(t *testing.T, s *site, b *backup) {
	t.Helper()
	ctx := context.Background()
	must(t, os.RemoveAll(goldenAhead))
	d, err := storage.OpenDir(goldenAhead)
	must(t, err)
	s.create(t, d)
	r, err := Open(ctx, d)
	must(t, err)
	w, err := b.writer(r)
	must(t, err)
	kit := b.kit()
	kit.Ahead = 2
	draft, err := kit.Store(ctx, w, b.files)
	must(t, err)
	issue, err := kit.Issue()
	must(t, err)
	must(t, w.Checkpoint(ctx, draft, issue))
	w.Abort()
	_, err = r.Fence(ctx, b.attempt, "test")
	must(t, err)
	must(t, r.Close())
	must(t, os.Remove(filepath.Join(goldenAhead, tmpDir)))
}
