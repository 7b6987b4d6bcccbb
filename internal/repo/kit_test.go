package repo

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is what the server would hold of a repository.
type site struct {
	id     [16]byte
	master seal.Master
	rec    Recovery
}

func newSite() *site {
	k := repotest.NewSite()
	return &site{id: k.ID, master: k.Master, rec: k.Recovery}
}

// kit is what tests of other packages know the site as.
func (s *site) kit() *repotest.Site {
	return &repotest.Site{ID: s.id, Master: s.master, Recovery: s.rec}
}

func (s *site) config() Config                  { return s.kit().Config() }
func (s *site) keys(computer string) *seal.Keys { return s.kit().Keys(computer) }
func (s *site) owner(computer string) [16]byte  { return s.kit().Owner(computer) }

func (s *site) check(o CheckOptions) CheckOptions {
	issue, computers := s.master.IssueKey(), s.master.ComputersKey()
	o.Keys, o.IssueKey, o.ComputersKey = s.keys("check"), &issue, &computers
	return o
}

func (s *site) create(t testing.TB, b storage.Backend) {
	t.Helper()
	key, err := WrapMaster(s.id, s.rec, s.master)
	must(t, err)
	must(t, Create(context.Background(), b, s.config(), []KeyObject{key}, Owner{Term: 1, Server: []byte("server-1")}))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk is an in-memory file system with a repository on it.
func disk(t testing.TB, s *site) *memfs.FS {
	t.Helper()
	m := memfs.New()
	s.create(t, storage.NewDir(m, "/r"))
	return m
}

func open(t testing.TB, m *memfs.FS) *Repository {
	t.Helper()
	r, err := Open(context.Background(), storage.NewDir(m, "/r"))
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// backup is one attempt of a computer: files by path.
type backup struct {
	s        *site
	computer string
	attempt  point.Attempt
	files    map[string]string
	packSize int64
	// chunkSize is where files are cut; zero: 1000 bytes, so that small tests have files of
	// several chunks.
	chunkSize int
	// spoil, if set, answers what is sealed in the place of a chunk's content: a computer with
	// bad memory.
	spoil func(fileindex.Chunk) []byte
}

func attemptNumber(n int) point.Attempt { return repotest.Attempt(n) }

func chunks(content string) []string { return repotest.Cut(content, 1000) }

type saver struct {
	w      *Writer
	sealer *seal.Sealer
}

func (v *saver) Save(ctx context.Context, c fileindex.Chunk) error {
	return (&repotest.Saver{Writer: v.w, Sealer: v.sealer}).Save(ctx, c)
}

// kit is what tests of other packages know the backup as.
func (b *backup) kit() *repotest.Backup {
	return &repotest.Backup{Site: b.s.kit(), Computer: b.computer, Attempt: b.attempt, Files: b.files, ChunkSize: b.chunkSize, Spoil: b.spoil}
}

// store puts the files and their index and answers the draft.
func (b *backup) store(ctx context.Context, w *Writer) (point.Draft, error) {
	return b.kit().Store(ctx, w, b.files)
}

func (b *backup) issue() ([]byte, error) { return b.kit().Issue() }

func (b *backup) writer(r *Repository) (*Writer, error) {
	return r.NewWriter(context.Background(), WriterOptions{Attempt: b.attempt, Owner: b.s.owner(b.computer), Keys: b.s.keys(b.computer), PackSize: b.packSize})
}

// run makes the backup.
func (b *backup) run(ctx context.Context, r *Repository) (WriterStats, error) {
	w, err := b.writer(r)
	if err != nil {
		return WriterStats{}, err
	}
	defer w.Abort()
	err = b.kit().Run(ctx, w)
	return w.Stats(), err
}

// restore reads a point back; files that fail are in failed.
func restore(ctx context.Context, r *Repository, s *site, computer string, a point.Attempt) (files, failed map[string]string, err error) {
	return s.kit().Restore(ctx, r, computer, a)
}

// someFiles are n files of up to size bytes that do not compress.
func someFiles(n, size int, seed uint64) map[string]string { return repotest.Files(n, size, seed) }

func wantKind(t testing.TB, what string, err error, kind errs.Kind, code string) {
	t.Helper()
	if errs.KindOf(err) != kind || errs.CodeOf(err) != code {
		t.Fatalf("%s: %v (%q, %q), want %q, %q", what, err, errs.KindOf(err), errs.CodeOf(err), kind, code)
	}
}

func committed(t testing.TB, r *Repository) []point.Attempt {
	t.Helper()
	var out []point.Attempt
	for o, err := range r.Points(context.Background()) {
		must(t, err)
		p, err := point.Parse(o.Content)
		must(t, err)
		if p.Type != point.Tombstone {
			out = append(out, p.Attempt)
		}
	}
	return out
}
