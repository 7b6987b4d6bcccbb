package repo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/storage"
)

// unreadable is a disk that does not give some bytes of some objects.
type unreadable struct {
	storage.Backend
	bad func(name string, from, to int64) bool
}

type unreadableReader struct {
	storage.Reader
	b    *unreadable
	name string
}

func (b *unreadable) Open(ctx context.Context, name string) (storage.Reader, error) {
	rd, err := b.Backend.Open(ctx, name)
	return &unreadableReader{rd, b, name}, err
}

func (r *unreadableReader) ReadAt(p []byte, off int64) (int, error) {
	if r.b.bad(r.name, off, off+int64(len(p))) {
		return 0, errs.New(errs.Unavailable, "repository.io", "read %s: input/output error", r.name)
	}
	return r.Reader.ReadAt(p, off)
}

// Of a pack with a bad sector one record is lost and marked. A disk that gives nothing is told,
// and nothing is marked for it: it may come back.
func TestWhatTheDiskDoesNotGive(t *testing.T) {
	ctx := context.Background()
	for _, test := range []struct {
		name   string
		bad    func(name string, from, to int64) bool
		code   string
		marked bool
	}{
		{"a sector", func(name string, from, to int64) bool {
			return strings.HasSuffix(name, "/d00000002") && from <= 500 && to > 500 && to-from > 64
		}, codeDamaged, true},
		{"all data", func(name string, from, _ int64) bool {
			return strings.Contains(name, "/d0") && from >= pack.HeaderSize
		}, codeUnreadable, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSite()
			m, _ := manyPacks(t, s)
			r, err := Open(ctx, &unreadable{storage.NewDir(m, "/r"), test.bad})
			must(t, err)
			defer r.Close() //nolint:errcheck // the test is over
			report, err := r.Check(ctx, s.proving(70, 1, CheckOptions{}))
			must(t, err)
			var chunks []Finding
			for _, f := range report.Findings {
				if f.Object == "chunk" {
					chunks = append(chunks, f)
				}
			}
			if len(chunks) == 0 || report.Clean() {
				t.Fatalf("%+v", report.Findings)
			}
			for _, f := range chunks {
				if f.Code != test.code {
					t.Fatalf("%+v", f)
				}
			}
			if test.marked && len(chunks) != 1 {
				t.Fatalf("one sector, and %d records", len(chunks))
			}
			lost, err := open(t, m).unhealed(ctx)
			if err != nil || (len(lost) > 0) != test.marked {
				t.Fatalf("%d are marked, %v", len(lost), err)
			}
		})
	}
}

// opening calls a function before the first data pack is opened.
type opening struct {
	storage.Backend
	once sync.Once
	do   func()
}

func (b *opening) Open(ctx context.Context, name string) (storage.Reader, error) {
	if strings.HasPrefix(name, packsDir) && strings.Contains(name, "/d0") {
		b.once.Do(b.do)
	}
	return b.Backend.Open(ctx, name)
}

// A pack that goes away while a check runs is damage only if a point needs what was in it.
func TestAPackThatGoesAwayMeanwhile(t *testing.T) {
	ctx := context.Background()
	for _, copies := range []int{1, 2} {
		for _, readData := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d copies, read data %v", copies, readData), func(t *testing.T) {
				s := newSite()
				m := disk(t, s)
				b := &backup{s: s, computer: "web1", attempt: attemptNumber(1), files: someFiles(6, 3000, 1)}
				readers := []*Repository{open(t, m), open(t, m)} // each stores all, knowing nothing of the other
				for i, r := range readers[:copies] {
					b.attempt = attemptNumber(i + 1)
					_, err := b.run(ctx, r)
					must(t, err)
				}
				gone := packName(attemptNumber(1), pack.Data, 1)
				r, err := Open(ctx, &opening{Backend: storage.NewDir(m, "/r"), do: func() { must(t, m.Remove("/r/"+gone)) }})
				must(t, err)
				defer r.Close() //nolint:errcheck // the test is over
				o := s.proving(70, 1, CheckOptions{Readers: 1})
				o.ReadData = readData
				report, err := r.Check(ctx, o)
				must(t, err)
				if copies == 2 {
					if len(report.Findings) != 0 {
						t.Fatalf("%+v", report.Findings)
					}
					return
				}
				if report.Clean() || !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Code == "pack.missing" && f.Name == gone }) {
					t.Fatalf("%+v", report.Findings)
				}
				for path := range b.files {
					if !named(report, b.attempt, path) {
						t.Fatalf("%s is not named: %+v", path, report.Findings)
					}
				}
			})
		}
	}
}
