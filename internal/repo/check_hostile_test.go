package repo

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage/vfs/memfs"
)

// evil is a computer in wrong hands: it has the keys of its task, and stores what it likes.
type evil struct {
	t testing.TB
	s *site
	w *Writer
}

func newEvil(t testing.TB, s *site, m *memfs.FS, attempt int) *evil {
	t.Helper()
	b := &backup{s: s, computer: "evil", attempt: attemptNumber(attempt)}
	w, err := b.writer(open(t, m))
	must(t, err)
	t.Cleanup(w.Abort)
	return &evil{t: t, s: s, w: w}
}

// put stores a record of any content under any h, with any ids in clear.
func (e *evil) put(kind seal.Kind, h seal.H, refs []seal.ID, content []byte) {
	e.t.Helper()
	sealer, err := seal.NewSealer(e.s.keys("evil"), seal.CompressNone)
	must(e.t, err)
	rec, err := sealer.Seal(nil, kind, h, refs, content)
	must(e.t, err)
	_, err = e.w.Put(rec)
	must(e.t, err)
}

// root stores that of an empty tree.
func (e *evil) root() seal.H {
	e.t.Helper()
	keys := e.s.keys("evil")
	sealer, err := seal.NewSealer(keys, seal.CompressNone)
	must(e.t, err)
	h, err := (&fileindex.Root{}).Save(context.Background(), keys.NewHasher(), &saver{w: e.w, sealer: sealer})
	must(e.t, err)
	return h
}

// commit makes a point of a root.
func (e *evil) commit(root seal.H, refs ...seal.ID) {
	e.t.Helper()
	b := &backup{s: e.s, computer: "evil", attempt: e.w.opts.Attempt}
	body, err := point.SealBody(e.s.keys("evil").ComputerKey, e.s.id, b.attempt, point.Body{Root: root})
	must(e.t, err)
	issue, err := b.issue()
	must(e.t, err)
	must(e.t, e.w.Commit(context.Background(), point.Draft{Type: point.Complete, RootID: root.ID(), Refs: refs, Body: body}, issue))
}

// contents are the chunks of a kind that a backup would store.
func (b *backup) contents(t testing.TB, kind seal.Kind) (out []fileindex.Chunk) {
	t.Helper()
	m := disk(t, b.s)
	probe := *b
	probe.spoil = func(c fileindex.Chunk) []byte {
		if c.Kind == kind {
			c.Content = append([]byte(nil), c.Content...)
			out = append(out, c)
		}
		return c.Content
	}
	_, err := probe.run(context.Background(), open(t, m))
	must(t, err)
	return out
}

// Garbage, or right content with other ids in clear, under the ids of what another computer
// needs: before it or after it, that computer loses nothing, and the check says whose it is.
func TestForgedRecordsHarmNobodyElse(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name   string
		kind   seal.Kind
		forge  func(c fileindex.Chunk) (kind seal.Kind, refs []seal.ID, content []byte)
		code   string
		before bool
	}{
		{"garbage before", seal.KindData, garbage, codeContent, true},
		{"garbage after", seal.KindData, garbage, codeContent, false},
		{"garbage for a node before", seal.KindNode, garbage, codeContent, true},
		{"garbage for a node after", seal.KindNode, garbage, codeContent, false},
		{"a node that lists nothing, before", seal.KindNode, listsNothing, codeRefs, true},
		{"a node that lists nothing, after", seal.KindNode, listsNothing, codeRefs, false},
		{"data for a node, after", seal.KindNode, asData, codeContent, false},
		{"data for a node, before", seal.KindNode, asData, codeContent, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite()
			m := disk(t, s)
			honest := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(6, 3000, 1)}
			if !test.before {
				_, err := honest.run(ctx, open(t, m))
				must(t, err)
			}
			e := newEvil(t, s, m, 2)
			for _, c := range honest.contents(t, test.kind) {
				kind, refs, content := test.forge(c)
				e.put(kind, c.H, refs, content)
			}
			e.commit(e.root())
			if test.before {
				_, err := honest.run(ctx, open(t, m))
				must(t, err)
			}
			third := &backup{s: s, computer: "db1", attempt: attemptNumber(3), files: honest.files}
			_, err := third.run(ctx, open(t, m))
			must(t, err)
			for range 2 { // before and after damage is marked
				for _, b := range []*backup{honest, third} {
					files, failed, err := restore(ctx, open(t, m), s, b.computer, b.attempt)
					if diff := cmp.Diff(b.files, files); err != nil || diff != "" || len(failed) > 0 {
						t.Fatalf("%s: %v, failed %v, diff %s", b.computer, err, failed, diff)
					}
				}
				report, err := open(t, m).Check(ctx, s.proving(70, 1, CheckOptions{}))
				must(t, err)
				if !report.Clean() {
					t.Fatalf("%+v", report.Findings)
				}
				for _, f := range report.Findings {
					if f.Owner != "evil" || f.AffectedTotal != 0 || f.Code != test.code {
						t.Fatalf("%+v", f)
					}
				}
			}
			r := open(t, m)
			content, err := r.Point(ctx, third.attempt)
			must(t, err)
			p, err := point.Parse(content)
			must(t, err)
			must(t, r.Intact(ctx, s.owner("db1"), p.RootID, p.Refs))
		})
	}
}

func garbage(c fileindex.Chunk) (seal.Kind, []seal.ID, []byte) {
	return c.Kind, nil, flipped(c.Content)
}

func listsNothing(c fileindex.Chunk) (seal.Kind, []seal.ID, []byte) { return c.Kind, nil, c.Content }

func asData(c fileindex.Chunk) (seal.Kind, []seal.ID, []byte) { return seal.KindData, nil, c.Content }

// Ids in clear that lead in a circle end no check.
func TestForgedCirclesEndNoCheck(t *testing.T) {
	ctx := context.Background()
	s := newSite()
	m, _ := twoBackups(t, s)
	e := newEvil(t, s, m, 7)
	a, b := seal.H{1}, seal.H{2}
	e.put(seal.KindNode, a, []seal.ID{b.ID()}, []byte("a"))
	e.put(seal.KindNode, b, []seal.ID{a.ID(), b.ID()}, []byte("b"))
	e.commit(a, b.ID())
	for _, o := range []CheckOptions{{}, {ReadData: true}, s.check(CheckOptions{}), s.check(CheckOptions{ReadData: true})} {
		report, err := open(t, m).Check(ctx, o)
		must(t, err)
		for _, f := range report.Findings {
			if f.Owner != "evil" {
				t.Fatalf("%+v", f)
			}
		}
	}
}
