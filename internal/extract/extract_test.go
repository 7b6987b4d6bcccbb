//go:build linux

package extract

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"

	"keepward/internal/errs"
	"keepward/internal/pipeline"
	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/restore"
	"keepward/internal/source"
	"keepward/internal/storage"
	"keepward/internal/treecmp"
	"keepward/internal/treegen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kit is a repository on a directory, as a server would have made it.
type kit struct {
	t      testing.TB
	dir    string
	r      *repo.Repository
	master seal.Master
	key    string
	count  byte
}

var epoch = time.Date(2026, 11, 1, 22, 0, 0, 0, time.UTC)

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{t: t, dir: filepath.Join(tempDir(t), "repository"), master: seal.Master{Secret: seal.NewSecret()}}
	cfg := repo.Config{
		ID: [16]byte{7, 7, byte(time.Now().UnixNano())}, Created: epoch, ChunkMin: 256 << 10, ChunkNormal: 1 << 20, ChunkMax: 4 << 20,
		NodeOdds: 256, NodeCap: 192 << 10, BundleOdds: 32, BundleCap: 512 << 10,
	}
	cfg.Check = k.master.Check(cfg.ID)
	recovery := repo.NewRecovery(cfg.ID)
	k.key = recovery.Text()
	wrapped, err := repo.WrapMaster(cfg.ID, recovery, k.master)
	must(t, err)
	b, err := storage.OpenDir(k.dir)
	must(t, err)
	must(t, repo.Create(t.Context(), b, cfg, []repo.KeyObject{wrapped}, repo.Owner{Term: 1, Server: []byte("server")}))
	k.r, err = repo.Open(t.Context(), b)
	must(t, err)
	t.Cleanup(func() { must(t, k.r.Close()) })
	return k
}

// mover is a pipeline.Store straight on the repository.
type mover struct {
	*repo.Writer
	r     *repo.Repository
	issue []byte
}

func (m mover) Put(_ context.Context, rec []byte) error {
	_, err := m.Writer.Put(rec)
	return err
}

func (m mover) Get(ctx context.Context, ids []seal.ID, fn func(int, []byte) error) error {
	return (&store{r: m.r}).Get(ctx, ids, fn)
}

func (m mover) Point(ctx context.Context, name string) ([]byte, error) {
	a, err := point.ParseAttempt(name)
	if err != nil {
		return nil, err
	}
	return m.r.Point(ctx, a)
}

func (m mover) Commit(ctx context.Context, d point.Draft) error {
	return m.Writer.Commit(ctx, d, m.issue)
}

func (m mover) Checkpoint(ctx context.Context, d point.Draft) error {
	return m.Writer.Checkpoint(ctx, d, m.issue)
}

// backup makes the next point of a computer, an hour after the one before.
func (k *kit) backup(computer, dir string) string {
	k.t.Helper()
	id := k.r.Config().ID
	k.count++
	attempt := point.Attempt{0xab, 0xcd, k.count}
	issue, err := point.SealIssue(k.master.IssueKey(), id, attempt, point.Issue{
		Computer: computer, Job: "docs", Session: int64(k.count), Time: epoch.Add(time.Duration(k.count) * time.Hour), Full: true,
	})
	must(k.t, err)
	keys := k.master.TaskKeys(id, computer)
	w, err := k.r.NewWriter(context.Background(), repo.WriterOptions{Attempt: attempt, Owner: k.master.ComputersKey().Owner(computer), Keys: keys})
	must(k.t, err)
	_, err = pipeline.Run(k.t.Context(), mover{w, k.r, issue}, pipeline.Options{Attempt: attempt, Keys: keys, Selection: source.Selection{Include: []string{dir}}})
	must(k.t, err)
	return attempt.String()
}

func (k *kit) options(name, src, to string) Options {
	return Options{
		Repository: k.dir, RecoveryKey: k.key, Point: name,
		Restore: restore.Options{Paths: [][]byte{[]byte(src)}, To: to, Strip: true, NoSync: true, Event: func(e restore.Event) {
			k.t.Logf("%s %s %q: %s", e.Level, e.Code, e.Path, e.Text)
		}},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keepward-extract-")
	must(t, err)
	t.Cleanup(func() { must(t, treegen.Remove(dir)) })
	return dir
}

// inventory is everything in a directory with its size and times.
func inventory(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		fmt.Fprintln(&b, path, st.Size(), st.Mode(), st.ModTime())
		return err
	}))
	return b.String()
}

func same(t testing.TB, want, got string) {
	t.Helper()
	diffs, err := treecmp.Compare(want, got, treecmp.Options{})
	must(t, err)
	for _, d := range diffs {
		t.Errorf("%.300s", d)
	}
}

func TestBareRepositoryGivesTheSameTree(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	src := tempDir(t)
	_, err := treegen.Zoo(src)
	must(t, err)
	k := newKit(t)
	k.backup("web1", src)
	before := inventory(t, k.dir)
	to := tempDir(t)
	p, res, err := Run(t.Context(), k.options("latest", src, to))
	must(t, err)
	if res.Counters.Errors+res.Counters.Warnings != 0 || p.Computer != "web1" || p.Completeness != "complete" {
		t.Errorf("%+v %+v", p, res.Counters)
	}
	same(t, src, to)
	if d := cmp.Diff(before, inventory(t, k.dir)); d != "" {
		t.Errorf("the repository was written to: %s", d)
	}
	t.Run("without its index", func(t *testing.T) {
		must(t, os.RemoveAll(filepath.Join(k.dir, "index")))
		before := inventory(t, k.dir)
		to := tempDir(t)
		_, _, err := Run(t.Context(), k.options("latest", src, to))
		must(t, err)
		same(t, src, to)
		if d := cmp.Diff(before, inventory(t, k.dir)); d != "" {
			t.Errorf("the repository was written to: %s", d)
		}
	})
}

func TestPointsAreFoundByName(t *testing.T) {
	src := tempDir(t)
	must(t, os.WriteFile(filepath.Join(src, "f"), []byte("1"), 0o644))
	k := newKit(t)
	web1 := k.backup("web1", src)
	must(t, os.WriteFile(filepath.Join(src, "f"), []byte("22"), 0o644))
	web2 := k.backup("web1", src)
	db := k.backup("db", src)

	list, err := List(t.Context(), k.options("", "", ""))
	must(t, err)
	want := []Point{
		{ID: db, Computer: "db", Session: 3, Time: epoch.Add(3 * time.Hour), Bytes: 2},
		{ID: web2, Computer: "web1", Session: 2, Time: epoch.Add(2 * time.Hour), Bytes: 2},
		{ID: web1, Computer: "web1", Session: 1, Time: epoch.Add(time.Hour), Bytes: 1},
	}
	for i := range want {
		want[i].Job, want[i].Full, want[i].Completeness = "docs", true, "complete"
	}
	if d := cmp.Diff(want, list, cmpopts.IgnoreUnexported(Point{}), cmpopts.IgnoreFields(Point{}, "Files"), cmpopts.EquateApproxTime(0)); d != "" {
		t.Error(d)
	}

	for _, c := range []struct {
		name, computer, want, code string
	}{
		{name: web1, want: web1},
		{name: strings.ToUpper(web2[:6]), want: web2},
		{name: "latest", computer: "web1", want: web2},
		{name: "latest", code: "point.computer"},
		{name: epoch.Add(90 * time.Minute).Format(time.RFC3339), want: web1},
		{name: epoch.Add(9 * time.Hour).Format(time.RFC3339), computer: "db", want: db},
		{name: epoch.Format(time.RFC3339), code: "point.unknown"},
		{name: "abcd", code: "point.ambiguous"},
		{name: "abc", code: "point.unknown"},
		{name: "feed", code: "point.unknown"},
		{name: "latest", computer: "nobody", code: "point.unknown"},
	} {
		o := k.options(c.name, src, tempDir(t))
		o.Computer = c.computer
		p, _, err := Run(t.Context(), o)
		if p.ID != c.want || errs.CodeOf(err) != c.code {
			t.Errorf("%q of %q: point %q, %v; want %q %s", c.name, c.computer, p.ID, err, c.want, c.code)
		}
	}
}

func TestWrongKeysAreRefusedAtOnce(t *testing.T) {
	src := tempDir(t)
	k := newKit(t)
	k.backup("web1", src)
	stranger := repo.NewRecovery(k.r.Config().ID)
	other := repo.NewRecovery([16]byte{1})
	for _, c := range []struct{ name, key, code string }{
		{"of the same repository, another secret", stranger.Text(), "recovery.key-wrong"},
		{"of another repository", other.Text(), "recovery.key-wrong"},
		{"mistyped", mistyped(k.key), "recovery.typo"},
		{"empty", "", "recovery.text"},
	} {
		o := k.options("latest", src, filepath.Join(tempDir(t), "to"))
		o.RecoveryKey = c.key
		if _, _, err := Run(t.Context(), o); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", c.name, err)
		}
		if _, err := os.Stat(o.Restore.To); err == nil {
			t.Errorf("%s: the target was made", c.name)
		}
	}
	o := k.options("latest", src, tempDir(t))
	o.Repository = src
	if _, _, err := Run(t.Context(), o); errs.KindOf(err) != errs.NotFound {
		t.Errorf("no repository there: %v", err)
	}
}

// mistyped changes one letter in the middle.
func mistyped(key string) string {
	b := []byte(key)
	if b[20] == 'A' {
		b[20] = 'C'
	} else {
		b[20] = 'A'
	}
	return string(b)
}

func TestDamagedPointIsListedAndNeverLatest(t *testing.T) {
	src := tempDir(t)
	must(t, os.WriteFile(filepath.Join(src, "f"), []byte("1"), 0o644))
	k := newKit(t)
	good := k.backup("web1", src)
	bad := k.backup("web1", src)
	damaged := 0
	must(t, filepath.WalkDir(filepath.Join(k.dir, "points"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == bad {
			b, rerr := os.ReadFile(path)
			must(t, rerr)
			b[len(b)/2] ^= 1
			must(t, os.Chmod(path, 0o600))
			must(t, os.WriteFile(path, b, 0o600))
			damaged++
		}
		return err
	}))
	if damaged != 1 {
		t.Fatalf("%d points were damaged", damaged)
	}
	list, err := List(t.Context(), k.options("", "", ""))
	must(t, err)
	if len(list) != 2 || list[1].ID != bad || list[1].Completeness != "damaged" {
		t.Errorf("%+v", list)
	}
	p, _, err := Run(t.Context(), k.options("latest", src, tempDir(t)))
	if p.ID != good || err != nil {
		t.Errorf("latest is %s, %v", p.ID, err)
	}
	if _, _, err = Run(t.Context(), k.options(bad, src, tempDir(t))); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("the damaged point: %v", err)
	}
}
