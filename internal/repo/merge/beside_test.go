package merge

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo"
	"keepward/internal/repo/repotest"
	"keepward/internal/storage"
)

// Writers and readers that opened before a merge, and while it ran, go on.
func TestAWriterGoesOnBesideAMerge(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 5)
	old := open(t, m)
	w := writer(t, s, old, "web1", 20)
	defer w.Abort()
	files := repotest.Files(4, 2500, 99)
	b := &repotest.Backup{Site: s, Computer: "web1", Attempt: repotest.Attempt(20), Files: files}
	d, err := b.Store(ctx, w, files)
	must(t, err)
	must(t, w.Flush(ctx)) // its own segment is merged too
	r := open(t, m)
	_, err = Run(ctx, r, options(r))
	must(t, err)
	issue, err := b.Issue()
	must(t, err)
	must(t, w.Commit(ctx, d, issue))
	must(t, old.Refresh(ctx))
	if n := len(old.Segments()); n > 2 {
		t.Fatalf("%d segments after a refresh", n)
	}
	restores(t, s, old, "web1", repotest.Attempt(20), files)
	fresh := open(t, m)
	restores(t, s, fresh, "web1", repotest.Attempt(20), files)
	report, err := fresh.Check(ctx, repo.CheckOptions{ReadData: true})
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("%+v, %v", report.Findings, err)
	}
}

// racing is a backend on which something happens while a folder is listed.
type racing struct {
	*storage.Dir
	between func(name string)
}

func (b *racing) List(ctx context.Context, dir string, fn func(storage.Info) error) error {
	return b.Dir.List(ctx, dir, func(i storage.Info) error {
		if dir == indexDir && b.between != nil {
			b.between(i.Name)
		}
		return fn(i)
	})
}

// A merge that runs while a reader lists may hide from him the parts, which are gone by then,
// and the whole, in a folder that he has passed.
func TestAReaderThatListsDuringAMergeMissesNothing(t *testing.T) {
	ctx := context.Background()
	s := repotest.NewSite()
	for at := range 6 {
		m := newRepository(t, s)
		history(t, s, m, 5)
		want := reliance(open(t, m))
		n, merged := 0, false
		b := &racing{Dir: storage.NewDir(m, "/r")}
		b.between = func(string) {
			if n++; n != at+1 || merged {
				return
			}
			merged = true
			other := open(t, m)
			o := options(other)
			o.Attempt = repotest.Attempt(0) // its folder is the first of all
			o.Attempt[1] = 9
			_, err := Run(ctx, other, o)
			must(t, err)
		}
		r := openOn(t, b)
		if diff := cmp.Diff(want, reliance(r)); diff != "" || !merged {
			t.Fatalf("merge before name %d: %v, %s", at, merged, diff)
		}
	}
}

// merging is a backend on which every new segment is merged away at once.
type merging struct {
	*storage.Dir
	put func(name string)
}

func (b *merging) Put(ctx context.Context, name string, content []byte) error {
	err := b.Dir.Put(ctx, name, content)
	if err == nil && strings.HasPrefix(name, indexDir+"/") {
		b.put(name)
	}
	return err
}

func TestASegmentThatIsMergedAwayAtOnceIsFollowed(t *testing.T) {
	s := repotest.NewSite()
	m := newRepository(t, s)
	history(t, s, m, 2)
	merged := 0
	b := &merging{Dir: storage.NewDir(m, "/r")}
	b.put = func(name string) {
		other := open(t, m)
		o := options(other)
		o.FanIn = 2
		_, err := Run(context.Background(), other, o)
		must(t, err)
		if there, err := storage.Exists(context.Background(), b.Dir, name); err != nil || there {
			t.Fatalf("%s is still there, %v", name, err)
		}
		merged++
	}
	files := repotest.Files(4, 2500, 7)
	backup(t, s, openOn(t, b), "web1", 9, files)
	if merged != 1 {
		t.Fatalf("%d merges", merged)
	}
	restores(t, s, open(t, m), "web1", repotest.Attempt(9), files)
}
