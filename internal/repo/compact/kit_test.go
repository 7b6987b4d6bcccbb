package compact

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs/memfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const packSize = 8000

// lab is a repository with the backups made in it.
type lab struct {
	t     testing.TB
	s     *repotest.Site
	m     *memfs.FS
	made  map[int]*repotest.Backup // those whose points are there
	swept int                      // sweeps so far
}

func newLab(t testing.TB) *lab {
	t.Helper()
	l := &lab{t: t, s: repotest.NewSite(), m: memfs.New(), made: map[int]*repotest.Backup{}}
	key, err := l.s.KeyObject()
	must(t, err)
	must(t, repo.Create(context.Background(), l.backend(), l.s.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	return l
}

func (l *lab) backend() *storage.Dir { return storage.NewDir(l.m, "/r") }

func (l *lab) open() *repo.Repository {
	l.t.Helper()
	r, err := repo.Open(context.Background(), l.backend())
	must(l.t, err)
	l.t.Cleanup(func() { must(l.t, r.Close()) })
	return r
}

// backup makes point n of a computer.
func (l *lab) backup(n int, computer string, files map[string]string) {
	l.t.Helper()
	l.backupWith(n, computer, files, l.s.Keys(computer), packSize)
}

func (l *lab) backupWith(n int, computer string, files map[string]string, keys *seal.Keys, size int64) {
	l.t.Helper()
	w, err := l.open().NewWriter(context.Background(), repo.WriterOptions{Attempt: repotest.Attempt(n), Owner: l.s.Owner(computer), Keys: keys, PackSize: size})
	must(l.t, err)
	defer w.Abort()
	b := &repotest.Backup{Site: l.s, Computer: computer, Attempt: repotest.Attempt(n), Files: files}
	must(l.t, b.Run(context.Background(), w))
	l.made[n] = b
}

// forget takes point n away, as a purge does.
func (l *lab) forget(n int) {
	l.t.Helper()
	must(l.t, l.backend().Delete(context.Background(), "points/"+repotest.Attempt(n).String()))
	delete(l.made, n)
}

// live are the chunks that points need, by their clear ids.
func live(t testing.TB, r *repo.Repository) map[seal.ID]bool {
	t.Helper()
	ctx := context.Background()
	out := map[seal.ID]bool{}
	var visit func(id seal.ID)
	visit = func(id seal.ID) {
		if out[id] {
			return
		}
		out[id] = true
		rec, err := r.Read(ctx, id, nil)
		if err != nil {
			return // a damaged data chunk; what is lost shows when it is restored
		}
		for i := range rec.NumRefs() {
			visit(rec.Ref(i))
		}
	}
	for o, err := range r.Points(ctx) {
		must(t, err)
		p, err := point.Parse(o.Content)
		must(t, err)
		if p.Type != point.Tombstone {
			visit(p.RootID)
		}
	}
	return out
}

// uses are all packs with what is live in them: of several good places the last one counts,
// as a sweep would count one.
func uses(t testing.TB, r *repo.Repository, needed map[seal.ID]bool) []Pack {
	t.Helper()
	ctx := context.Background()
	var out []Pack
	must(t, r.Backend().List(ctx, "packs", func(i storage.Info) error {
		k, err := repo.ParsePackName(i.Name)
		must(t, err)
		p := Pack{Key: k, Size: i.Size}
		rd, err := r.Backend().Open(ctx, i.Name)
		must(t, err)
		defer rd.Close() //nolint:errcheck // only read
		entries, err := pack.ReadDirectory(rd)
		if err != nil {
			return nil
		}
		for _, e := range entries {
			all := r.Locations(ctx, e.ID)
			here := len(all) == 0 || slices.MaxFunc(all, repo.Location.ComparePlace).PackKey() == k
			if needed[e.ID] && here {
				p.Live += int64(e.Length)
			} else {
				p.Dead += int64(e.Length)
			}
		}
		out = append(out, p)
		return nil
	}))
	return out
}

func (l *lab) options(t testing.TB, r *repo.Repository) Options {
	needed := live(t, r)
	return Options{Attempt: repotest.Attempt(700), Live: func(id seal.ID) bool { return needed[id] }, PackSize: packSize, JoinBelow: -1}
}

// compact runs once on a fresh repository.
func (l *lab) compact(change func(*Options)) (Result, error) {
	l.t.Helper()
	r := l.open()
	o := l.options(l.t, r)
	if change != nil {
		change(&o)
	}
	return Run(context.Background(), r, uses(l.t, r, live(l.t, r)), o)
}

// remove deletes packs, as a sweep does in the end.
func (l *lab) remove(packs []pack.Key) {
	l.t.Helper()
	for _, k := range packs {
		must(l.t, l.backend().Delete(context.Background(), repo.PackName(k.Attempt, k.Class, k.Number)))
	}
}

// intact checks that all points come back, each for its own computer alone.
func (l *lab) intact() {
	l.t.Helper()
	r := l.open()
	for n, b := range l.made {
		files, failed, err := l.s.Restore(context.Background(), &asOwner{r, l.s.Owner(b.Computer)}, b.Computer, repotest.Attempt(n))
		if err != nil || len(failed) > 0 || len(files) != len(b.Files) {
			l.t.Fatalf("restore %d: %d of %d files, failed %v, %v", n, len(files), len(b.Files), failed, err)
		}
		for path, content := range b.Files {
			if files[path] != content {
				l.t.Fatalf("restore %d: %s differs", n, path)
			}
		}
	}
	report, err := r.Check(context.Background(), repo.CheckOptions{ReadData: true})
	// Runs are not announced here, and packs deleted without a sweep's list: a check names both.
	found := slices.DeleteFunc(report.Findings, func(f repo.Finding) bool {
		return f.Code == "segment.pack-gone" || f.Code == "pack.unknown"
	})
	if err != nil || len(found) > 0 {
		l.t.Fatalf("check: %+v, %v", found, err)
	}
}

// asOwner reads only what a computer may rely on: its own, and what is proved.
type asOwner struct {
	*repo.Repository
	owner [16]byte
}

var errNotHis = errors.New("the computer may not rely on any place of it")

func (a *asOwner) Read(ctx context.Context, id seal.ID, buf []byte) (seal.Record, error) {
	err := errNotHis
	for _, l := range a.Locations(ctx, id) {
		if l.Owner != a.owner && !l.Proved() {
			continue
		}
		var rec seal.Record
		if rec, err = a.ReadRecord(ctx, l, buf); err == nil {
			return rec, nil
		}
	}
	return seal.Record{}, err
}

func (l *lab) objects(dir string) map[string]int64 {
	l.t.Helper()
	out := map[string]int64{}
	must(l.t, l.backend().List(context.Background(), dir, func(i storage.Info) error { out[i.Name] = i.Size; return nil }))
	return out
}

func (l *lab) size() (n int64) {
	for _, size := range l.objects("packs") {
		n += size
	}
	return n
}

// record reads what lies at a place as it is.
func record(t testing.TB, r *repo.Repository, l repo.Location) string {
	t.Helper()
	rd, err := r.Backend().Open(context.Background(), l.PackName())
	must(t, err)
	defer rd.Close() //nolint:errcheck // only read
	b := make([]byte, l.Length)
	if _, err := rd.ReadAt(b, int64(l.Offset)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b)
}

// mix joins file sets; later ones win.
func mix(sets ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, s := range sets {
		for path, content := range s {
			out[path] = content
		}
	}
	return out
}

// under is a set of files in a folder of its own.
func under(dir string, files map[string]string) map[string]string {
	out := map[string]string{}
	for path, content := range files {
		out[dir+"/"+path] = content
	}
	return out
}

// some are the files of a set with an even or odd number.
func some(files map[string]string, odd bool) map[string]string {
	out := map[string]string{}
	for path, content := range files {
		if (path[len(path)-1]&1 == 1) == odd {
			out[path] = content
		}
	}
	return out
}
