package repo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
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
	s := &site{id: [16]byte{0xab, 1, 2, 3}, master: seal.Master{Domain: 5, Epoch: 1, Secret: seal.Secret{1, 2, 3}}}
	s.rec = Recovery{Repository: [4]byte(s.id[:4]), Secret: seal.Secret{9, 9}}
	return s
}

func (s *site) config() Config {
	return Config{
		ID: s.id, Created: time.Unix(1_700_000_000, 5).UTC(), Domain: s.master.Domain,
		ChunkMin: 256 << 10, ChunkNormal: 1 << 20, ChunkMax: 4 << 20, NodeOdds: 256, NodeCap: 192 << 10,
		BundleOdds: 64, BundleCap: 1 << 20, Check: s.master.Check(s.id),
	}
}

func (s *site) keys(computer string) *seal.Keys { return s.master.TaskKeys(s.id, computer) }
func (s *site) owner(computer string) [16]byte  { return s.master.ComputersKey().Owner(computer) }

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

func attemptNumber(n int) point.Attempt { return point.Attempt{byte(n), byte(n >> 8), 0x5a} }

func chunks(content string) []string { return cut(content, 1000) }

func cut(content string, size int) []string {
	var out []string
	for part := range slices.Chunk([]byte(content), size) {
		out = append(out, string(part))
	}
	return out
}

type saver struct {
	w      *Writer
	sealer *seal.Sealer
	spoil  func(fileindex.Chunk) []byte
}

func (v *saver) Save(_ context.Context, c fileindex.Chunk) error {
	if v.spoil != nil {
		c.Content = v.spoil(c)
	}
	refs := make([]seal.ID, len(c.Refs))
	for i, h := range c.Refs {
		refs[i] = h.ID()
	}
	rec, err := v.sealer.Seal(nil, c.Kind, c.H, refs, c.Content)
	if err == nil {
		_, err = v.w.Put(rec)
	}
	return err
}

// store puts the files and their index and answers the draft.
func (b *backup) store(ctx context.Context, w *Writer) (point.Draft, error) {
	keys := b.s.keys(b.computer)
	hasher := keys.NewHasher()
	sealer, err := seal.NewSealer(keys, seal.CompressFast)
	if err != nil {
		return point.Draft{}, err
	}
	v := &saver{w, sealer, b.spoil}
	tree := fileindex.NewBuilder(seal.KindNode, hasher, v)
	for _, path := range b.sorted() {
		e := fileindex.Entry{Path: []byte(path), Type: fileindex.File, Mode: 0o644, Size: int64(len(b.files[path]))}
		for _, part := range cut(b.files[path], cmp.Or(b.chunkSize, 1000)) {
			h := hasher.Hash(seal.KindData, []byte(part))
			have, err := w.Have(ctx, []seal.H{h})
			if err != nil {
				return point.Draft{}, err
			}
			if !have[0] {
				if err := v.Save(ctx, fileindex.Chunk{Kind: seal.KindData, H: h, Content: []byte(part)}); err != nil {
					return point.Draft{}, err
				}
			}
			e.Extents = append(e.Extents, fileindex.Extent{H: h, Len: int64(len(part))})
		}
		if err := tree.Add(ctx, &e); err != nil {
			return point.Draft{}, err
		}
	}
	top, err := tree.Finish(ctx)
	if err != nil {
		return point.Draft{}, err
	}
	root := fileindex.Root{Paths: top, Include: []string{"/"}}
	h, err := root.Save(ctx, hasher, v)
	if err != nil {
		return point.Draft{}, err
	}
	body, err := point.SealBody(keys.ComputerKey, b.s.id, b.attempt, point.Body{Root: h, Files: int64(len(b.files))})
	return point.Draft{Type: point.Complete, RootID: h.ID(), Body: body}, err
}

func (b *backup) sorted() []string {
	var paths []string
	for p := range b.files {
		paths = append(paths, p)
	}
	slices.SortFunc(paths, func(x, y string) int { return fileindex.ComparePaths([]byte(x), []byte(y)) })
	return paths
}

func (b *backup) issue() ([]byte, error) {
	return point.SealIssue(b.s.master.IssueKey(), b.s.id, b.attempt, point.Issue{Computer: b.computer, Job: "job", Time: time.Unix(1_700_000_100, 0)})
}

func (b *backup) writer(r *Repository) (*Writer, error) {
	return r.NewWriter(WriterOptions{Attempt: b.attempt, Owner: b.s.owner(b.computer), Keys: b.s.keys(b.computer), PackSize: b.packSize})
}

// run makes the backup.
func (b *backup) run(ctx context.Context, r *Repository) (WriterStats, error) {
	w, err := b.writer(r)
	if err != nil {
		return WriterStats{}, err
	}
	defer w.Abort()
	d, err := b.store(ctx, w)
	if err != nil {
		return w.Stats(), err
	}
	issue, err := b.issue()
	if err != nil {
		return w.Stats(), err
	}
	return w.Stats(), w.Commit(ctx, d, issue)
}

// fetcher reads a repository as an agent would.
type fetcher struct {
	mu     sync.Mutex
	r      *Repository
	opener *seal.Opener
}

func (f *fetcher) Fetch(ctx context.Context, _ seal.Kind, hs []seal.H) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([][]byte, len(hs))
	for i, h := range hs {
		rec, err := f.r.Read(ctx, h.ID(), nil)
		if err != nil {
			return nil, err
		}
		if out[i], err = f.opener.Open(nil, &rec, h); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// restore reads a point back; files that fail are in failed.
func restore(ctx context.Context, r *Repository, s *site, computer string, a point.Attempt) (files, failed map[string]string, err error) {
	content, err := r.Point(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	p, err := point.Parse(content)
	if err != nil {
		return nil, nil, err
	}
	keys := s.keys(computer)
	body, err := point.OpenBody(keys.ComputerKey, &p)
	if err != nil {
		return nil, nil, err
	}
	opener, err := seal.NewOpener(keys)
	if err != nil {
		return nil, nil, err
	}
	defer opener.Close()
	f := &fetcher{r: r, opener: opener}
	root, err := fileindex.FetchRoot(ctx, f, body.Root)
	if err != nil {
		return nil, nil, err
	}
	c := fileindex.NewCursor(f, seal.KindNode, root.Paths)
	defer c.Close()
	files, failed = map[string]string{}, map[string]string{}
	for {
		e, err := c.Next(ctx)
		if errors.Is(err, io.EOF) {
			return files, failed, nil
		}
		if err != nil {
			return files, failed, err
		}
		var out bytes.Buffer
		err = fileindex.ForEachExtent(ctx, f, e, func(_ int64, x fileindex.Extent) error {
			got, err := f.Fetch(ctx, seal.KindData, []seal.H{x.H})
			if err == nil {
				out.Write(got[0][x.Offset : int64(x.Offset)+x.Len])
			}
			return err
		})
		if err != nil {
			failed[string(e.Path)] = err.Error()
			continue
		}
		files[string(e.Path)] = out.String()
	}
}

// someFiles are n files of up to size bytes that do not compress.
func someFiles(n, size int, seed uint64) map[string]string {
	rng := rand.New(rand.NewPCG(seed, 3))
	files := map[string]string{}
	for i := range n {
		b := make([]byte, rng.IntN(size)+1)
		for j := range b {
			b[j] = byte(rng.Uint32())
		}
		files[fmt.Sprintf("dir%d/file%d", i%3, i)] = string(b)
	}
	return files
}

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
