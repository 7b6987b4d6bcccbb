package compact

import (
	"context"
	"slices"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/sweep"
)

// upkeep is a sweep that compacts, as a mover runs it.
type upkeep struct {
	l    *lab
	r    *repo.Repository
	keys *Recompression // nil: none
	done Result
}

func (u *upkeep) Rewrite(ctx context.Context, m sweep.Movable) (sweep.Rewritten, error) {
	packs := make([]Pack, len(m.Packs))
	for i, p := range m.Packs {
		packs[i] = Pack{Key: p.Pack, Size: p.Size, Live: p.LiveBytes, Dead: p.Bytes - p.LiveBytes}
	}
	var err error
	u.done, err = Run(ctx, u.r, packs, Options{Attempt: u.l.sweeps(), Live: m.Live, Doomed: m.Doomed, Recompress: u.keys, PackSize: 64 << 10, JoinBelow: -1})
	return sweep.Rewritten{Packs: u.done.Condemn}, err
}

// judging is an upkeep with keys.
type judging struct{ *upkeep }

func (j judging) Sufficient(ctx context.Context, all []repo.Remnant) (map[seal.ID]bool, error) {
	return Sufficient(ctx, j.r, j.keys, nil, all)
}

// sweeps is the attempt of the sweep that runs.
func (l *lab) sweeps() point.Attempt { return repotest.Attempt(900 + l.swept) }

// sweep runs one, with the keys or without, and purges points.
func (l *lab) sweep(keys bool, purge ...int) (sweep.Report, Result) {
	l.t.Helper()
	ctx := context.Background()
	r := l.open()
	l.swept++
	o := sweep.Options{Attempt: l.sweeps(), Term: 1}
	for _, n := range purge {
		must(l.t, r.MarkDeleted(ctx, repotest.Attempt(n), repo.Note{}))
		o.Purge = append(o.Purge, repotest.Attempt(n))
		delete(l.made, n)
	}
	u := &upkeep{l: l, r: r}
	o.Rewriter = u
	if keys {
		u.keys = l.recompression()
		o.Rewriter = judging{u}
	}
	report, err := sweep.Run(ctx, r, o)
	must(l.t, err)
	return report, u.done
}

const inBundle = 10

// bundled begins a backup whose files share bundles and keep what they had in a parent.
func (l *lab) bundled(n int, parent *repotest.Backup, files map[string]string) (*repotest.Backup, *repo.Writer) {
	l.t.Helper()
	w, err := l.open().NewWriter(context.Background(), repo.WriterOptions{
		Attempt: repotest.Attempt(n), Owner: l.s.Owner("web1"), Keys: l.s.Keys("web1"), PackSize: 64 << 10,
	})
	must(l.t, err)
	l.t.Cleanup(w.Abort)
	return &repotest.Backup{Site: l.s, Computer: "web1", Attempt: repotest.Attempt(n), Files: files, Bundle: inBundle, Parent: parent}, w
}

func (l *lab) bundle(n int, parent *repotest.Backup, files map[string]string) *repotest.Backup {
	l.t.Helper()
	b, w := l.bundled(n, parent, files)
	l.commit(n, b, w)
	return b
}

func (l *lab) commit(n int, b *repotest.Backup, w *repo.Writer) {
	l.t.Helper()
	must(l.t, b.Run(context.Background(), w))
	l.made[n] = b
}

// everyNth are the files of a set of which every n-th in order is there.
func everyNth(files map[string]string, n int) map[string]string {
	out := map[string]string{}
	for i, path := range sorted(files) {
		if i%n == 0 {
			out[path] = files[path]
		}
	}
	return out
}

func sorted(files map[string]string) []string {
	var paths []string
	for path := range files {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// punched counts the bundles that points need and that lie nowhere whole.
func (l *lab) punched() (n int) {
	l.t.Helper()
	r := l.open()
	packs := l.objects("packs")
	for id := range live(l.t, r) {
		all := r.Locations(context.Background(), id)
		all = slices.DeleteFunc(all, func(at repo.Location) bool { return packs[at.PackName()] == 0 })
		if len(all) > 0 && all[0].Punched() {
			n++
		}
	}
	return n
}

// well checks that all points come back, and that a check with all keys finds nothing.
func (l *lab) well() {
	l.t.Helper()
	r := l.open()
	for n, b := range l.made {
		files, failed, err := l.s.Restore(context.Background(), r, b.Computer, repotest.Attempt(n))
		if err != nil || len(failed) > 0 || len(files) != len(b.Files) {
			l.t.Fatalf("restore %d: %d of %d files, failed %v, %v", n, len(files), len(b.Files), failed, err)
		}
		for path, content := range b.Files {
			if files[path] != content {
				l.t.Fatalf("restore %d: %s differs", n, path)
			}
		}
	}
	k := l.recompression()
	report, err := r.Check(context.Background(), repo.CheckOptions{
		ReadData: true, Scratch: l.t.TempDir(), Keys: k.Keys, IssueKey: &k.IssueKey, ComputersKey: k.ComputersKey,
	})
	if err != nil || len(report.Findings) > 0 {
		l.t.Fatalf("check: %+v, %v", report.Findings, err)
	}
}

func TestDeadMembersAreTakenOut(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(100, 2000, 1)
	first := l.bundle(1, nil, all)
	l.bundle(2, first, everyNth(all, 5))
	before := l.size()

	report, done := l.sweep(false, 1)
	if done.Punched > 0 || l.punched() > 0 || !report.Done {
		t.Fatalf("without keys: %+v", done)
	}
	report, done = l.sweep(true)
	if done.Punched != 10 || !report.Done || report.SparedPacks > 0 || l.punched() != 10 || l.size() > before*3/10 {
		t.Fatalf("%d bytes of %d left: %+v, %+v", l.size(), before, done, report)
	}
	l.well()

	// What is left is not touched again, and not relied on.
	if _, done = l.sweep(true); done.Punched > 0 || done.Written > 0 {
		t.Fatalf("again: %+v", done)
	}
	l.bundle(3, nil, all)
	l.well()
	if l.punched() > 0 {
		t.Fatal("the next backup relied on bundles without members")
	}

	// The whole ones stand in for the others, which go.
	for range 3 {
		report, done = l.sweep(true)
	}
	if done.Written > 0 || report.CondemnedPacks > 0 || l.size() > before*11/10 {
		t.Fatalf("%d bytes: %+v, %+v", l.size(), done, report)
	}
	l.well()
}

// A rebuilt index knows which bundles are not whole.
func TestMissingMembersAreKnownWithoutTheIndex(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(100, 2000, 1)
	first := l.bundle(1, nil, all)
	l.bundle(2, first, everyNth(all, 5))
	l.sweep(true, 1)
	for name := range l.objects("index") {
		must(t, l.backend().Delete(context.Background(), name))
	}
	r := l.open()
	_, err := r.RebuildIndex(context.Background())
	must(t, err)
	if n := l.punched(); n != 10 {
		t.Fatalf("%d bundles without members", n)
	}
	l.well()
	l.bundle(3, nil, all)
	if n := l.punched(); n != 0 {
		t.Fatal("the next backup relied on bundles without members")
	}
	l.well()
}

// An attempt that began before the list may hold a parent that goes: what it takes over from it
// must stay, though no point needs it when the members are taken out.
func TestMembersThatAnAttemptTookOverMeanwhileStay(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(100, 2000, 1)
	first := l.bundle(1, nil, all)
	l.bundle(2, first, everyNth(all, 5))
	third, w := l.bundled(3, first, everyNth(all, 2))

	report, done := l.sweep(true, 1)
	if done.Punched == 0 || len(report.Unsettled) != 1 {
		t.Fatalf("%+v, %+v", done, report)
	}
	l.commit(3, third, w)
	l.well()
	if report, _ = l.sweep(true); !report.Done || report.SparedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	l.well()
	l.sweep(true) // what was made in vain goes, and it is tried anew with what is needed now
	l.well()
	report, _ = l.sweep(true, 3)
	if l.well(); l.punched() == 0 || !report.Done {
		t.Fatalf("%+v", report)
	}
}

// The sweep that ends the list need not be the one that made it. With keys it finds that what was
// taken out is needed by nobody; without, it keeps everything.
func TestASweepThatGoesOnJudgesAnew(t *testing.T) {
	for _, keys := range []bool{true, false} {
		l := newLab(t)
		all := repotest.Files(100, 2000, 1)
		first := l.bundle(1, nil, all)
		l.bundle(2, first, everyNth(all, 5))
		_, w := l.bundled(3, nil, all)
		if report, done := l.sweep(true, 1); done.Punched != 10 || len(report.Unsettled) != 1 {
			t.Fatalf("%+v, %+v", done, report)
		}
		w.Abort()
		_, err := l.open().Fence(context.Background(), repotest.Attempt(3), "test")
		must(t, err)
		report, _ := l.sweep(keys)
		if !report.Done || (report.SparedPacks == 0) != keys || (l.punched() == 10) != keys {
			t.Fatalf("keys %v: %d punched, %+v", keys, l.punched(), report)
		}
		l.well()
	}
}

// A checkpoint is as good as a point: the next attempt goes on from it.
func TestMembersThatACheckpointNeedsStay(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(100, 2000, 1)
	first := l.bundle(1, nil, all)
	l.bundle(2, first, everyNth(all, 5))
	third, w := l.bundled(3, first, everyNth(all, 2))
	d, err := third.Store(context.Background(), w, third.Files)
	must(t, err)
	issue, err := third.Issue()
	must(t, err)
	must(t, w.Checkpoint(context.Background(), d, issue))
	_, done := l.sweep(true, 1)
	if done.Punched != 0 { // half of each is needed
		t.Fatalf("%+v", done)
	}
	l.commit(3, third, w)
	l.sweep(true)
	l.well()
}

// What cannot be opened may need anything.
func TestNothingIsTakenOutWhereAPointDoesNotOpen(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(100, 2000, 1)
	first := l.bundle(1, nil, all)
	l.bundle(2, first, everyNth(all, 5))
	third, w := l.bundled(3, first, everyNth(all, 5))
	d, err := third.Store(context.Background(), w, third.Files)
	must(t, err)
	must(t, w.Commit(context.Background(), d, []byte("an issue that nobody opens")))
	if _, done := l.sweep(true, 1); done.Punched > 0 {
		t.Fatalf("%+v", done)
	}
}

func TestMembersAreTakenOutAgain(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(200, 2000, 1)
	first := l.bundle(1, nil, all)
	second := l.bundle(2, first, everyNth(all, 3))
	l.sweep(true, 1)
	l.well()
	sizes := []int64{l.size()}
	l.bundle(3, second, everyNth(all, 18))
	report, done := l.sweep(true, 2)
	if done.Punched < 5 || !report.Done || report.SparedPacks > 0 {
		t.Fatalf("%+v, %+v", done, report)
	}
	if sizes = append(sizes, l.size()); sizes[1] > sizes[0]*6/10 {
		t.Fatalf("%d bytes", sizes)
	}
	l.well()
}

// Copies that lost members at different times stand side by side if what was taken out last is
// needed after all. The one with most is read.
func TestOfSeveralCopiesTheFullestIsRead(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(200, 2000, 1)
	first := l.bundle(1, nil, all)
	second := l.bundle(2, first, everyNth(all, 3))
	l.sweep(true, 1)
	l.bundle(3, second, everyNth(all, 18))
	fourth, w := l.bundled(4, second, everyNth(all, 6))
	if report, done := l.sweep(true, 2); done.Punched < 5 || len(report.Unsettled) != 1 {
		t.Fatalf("%+v, %+v", done, report)
	}
	l.commit(4, fourth, w)
	l.well()
	if report, _ := l.sweep(true); !report.Done || report.SparedPacks == 0 {
		t.Fatalf("%+v", report)
	}
	l.well()
	for range 2 {
		l.sweep(true)
		l.well()
	}
}

// Without a key a bundle that lost members is moved as it is, and its old place goes, since the
// records are the same.
func TestBundlesWithoutMembersAreMovedWithoutKeys(t *testing.T) {
	l := newLab(t)
	all := repotest.Files(100, 2000, 1)
	other := under("other", repotest.Files(60, 2000, 2))
	first := l.bundle(1, nil, mix(all, other))
	second := l.bundle(2, first, mix(everyNth(all, 5), everyNth(other, 4)))
	l.sweep(true, 1)
	before := l.size()
	l.bundle(3, second, everyNth(all, 5)) // the other bundles are dead
	report, done := l.sweep(false, 2)
	if done.Written == 0 || !report.Done || report.SparedPacks > 0 || l.size() > before*8/10 || l.punched() == 0 {
		t.Fatalf("%d bytes of %d, %+v, %+v", l.size(), before, done, report)
	}
	l.well()
}
