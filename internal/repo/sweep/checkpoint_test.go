package sweep

import (
	"strings"
	"sync"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

// A backup may put a checkpoint, and the segment that tells of it, while a sweep is on its way
// from the segments to the checkpoints.
func TestACheckpointThatComesWhileTheSweepLooksIsUnderstood(t *testing.T) {
	w := newWorld(t)
	w.backup("web1", 1, repotest.Files(3, 2500, 1))
	m := w.begin("web1", 2, repotest.Files(4, 2500, 2))
	d := m.store()
	fs := w.disk.Process()
	put := sync.OnceFunc(func() { must(t, m.writer.Checkpoint(w.ctx, d, nil)) })
	r, err := repo.Open(w.ctx, storage.NewDir(fs, "/r"))
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	// What is dropped before marking lists them too; only the listing of the marking counts here.
	lists := 0
	fs.SetReadHook(func(op memfs.Op, name string) error {
		if op == memfs.ReadDir && strings.HasSuffix(name, "/checkpoints") {
			if lists++; lists == 2 {
				put()
			}
		}
		return nil
	})
	if _, err := Run(w.ctx, r, w.options(nil)); err != nil {
		t.Fatal(err)
	}
	if lists < 2 {
		t.Fatalf("checkpoints were listed %d times: the test proves nothing", lists)
	}
	must(t, m.commit(d))
	w.intact()
}
