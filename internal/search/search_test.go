package search

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store keeps chunks in memory and counts what is fetched.
type store struct {
	mu      sync.Mutex
	chunks  map[seal.H][]byte
	fetched int
}

func (s *store) Save(_ context.Context, c fileindex.Chunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chunks[c.H] = bytes.Clone(c.Content)
	return nil
}

func (s *store) Fetch(_ context.Context, _ seal.Kind, hs []seal.H) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([][]byte, len(hs))
	for i, h := range hs {
		if out[i] = s.chunks[h]; out[i] == nil {
			return nil, fmt.Errorf("there is no chunk %s", h.ID())
		}
		s.fetched++
	}
	return out, nil
}

// files are those of a computer; links have an inode and share what is in inodes.
type files struct {
	names  map[string]*fileindex.Entry
	inodes map[uint64]*fileindex.Entry
}

func (f *files) clone() *files {
	return &files{maps.Clone(f.names), maps.Clone(f.inodes)}
}

func (f *files) whole(name string) *fileindex.Entry {
	e := f.names[name]
	if e.Type == fileindex.Link {
		return f.inodes[e.Inode]
	}
	return e
}

func hasher() *seal.Hasher {
	return seal.Master{Secret: seal.Secret{1}}.TaskKeys([16]byte{2}, "web1").NewHasher()
}

func (f *files) point(t testing.TB, s *store, id string) Point {
	t.Helper()
	b := fileindex.NewBuilder(seal.KindNode, hasher(), s)
	for _, name := range slices.SortedFunc(maps.Keys(f.names), func(a, b string) int { return fileindex.ComparePaths([]byte(a), []byte(b)) }) {
		e := *f.names[name]
		e.Path = []byte(name)
		must(t, b.Add(t.Context(), &e))
	}
	p := Point{ID: id, Root: fileindex.Root{OS: "linux"}}
	var err error
	p.Root.Paths, err = b.Finish(t.Context())
	must(t, err)
	b = fileindex.NewBuilder(seal.KindInode, hasher(), s)
	for _, n := range slices.Sorted(maps.Keys(f.inodes)) {
		must(t, b.AddKeyed(t.Context(), fileindex.InodeKey(7, n), f.inodes[n]))
	}
	p.Root.Inodes, err = b.Finish(t.Context())
	must(t, err)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(r *rand.Rand, inode uint64) *fileindex.Entry {
	v := r.Int64N(1 << 20)
	return &fileindex.Entry{
		Type: fileindex.File, Mode: 0o644, Size: v, MTime: fileindex.Time{Sec: 1700000000 + v, Nsec: 7}, Device: 7, Inode: inode,
		Extents: []fileindex.Extent{{Kind: fileindex.InChunk, H: seal.H{byte(v), byte(v >> 8), byte(v >> 16), 1}, Len: v}},
	}
}

// history is some points of a computer whose files change from one to the next.
func history(t testing.TB, s *store, n, count int, r *rand.Rand) (states []*files, points []Point) {
	f := &files{names: map[string]*fileindex.Entry{}, inodes: map[uint64]*fileindex.Entry{}}
	name := func(i int) string {
		return fmt.Sprintf("srv/d%03d/report-%04d.%s", i%97, i, []string{"txt", "odt", "c"}[i%3])
	}
	for i := range n {
		f.names[name(i)] = file(r, uint64(i))
		f.names[fmt.Sprintf("srv/d%03d", i%97)] = &fileindex.Entry{Type: fileindex.Dir, Mode: 0o755}
	}
	for i := range 20 {
		inode := uint64(1_000_000 + i)
		f.inodes[inode] = file(r, inode)
		for _, other := range []string{"one", "two"} {
			f.names[fmt.Sprintf("srv/d%03d/link-%d-%s", i, i, other)] = &fileindex.Entry{Type: fileindex.Link, Device: 7, Inode: inode}
		}
	}
	for p := range count {
		states = append(states, f)
		points = append(points, f.point(t, s, fmt.Sprintf("point%d", p)))
		f = f.clone()
		for range n / 50 {
			i := r.IntN(n)
			switch r.IntN(4) {
			case 0:
				delete(f.names, name(i))
			default:
				f.names[name(i)] = file(r, uint64(i))
			}
		}
		inode := uint64(1_000_000 + r.IntN(20))
		f.inodes[inode] = file(r, inode)
	}
	return states, points
}

// want says by looking at all of it what a search must find.
func want(states []*files, fits func(path string, e *fileindex.Entry) bool) []string {
	type version struct{ oldest, newest, points int }
	found := map[string]map[int64]*version{}
	for p, f := range states {
		for name := range f.names {
			e := f.whole(name)
			if !fits(name, e) {
				continue
			}
			if found[name] == nil {
				found[name] = map[int64]*version{}
			}
			v := found[name][e.MTime.Sec]
			if v == nil {
				v = &version{oldest: p}
				found[name][e.MTime.Sec] = v
			}
			v.newest, v.points = p, v.points+1
		}
	}
	var lines []string
	for name, versions := range found {
		for at, v := range versions {
			lines = append(lines, fmt.Sprintf("%s %d: %d-%d %d", name, at, v.oldest, v.newest, v.points))
		}
	}
	slices.Sort(lines)
	return lines
}

func got(t testing.TB, x *Index, points []Point, q *Query) []string {
	t.Helper()
	var lines []string
	var last []byte
	must(t, x.Find(t.Context(), points, q, func(v *Version) error {
		if fileindex.ComparePaths(last, v.Entry.Path) > 0 {
			t.Errorf("%q comes behind %q", v.Entry.Path, last)
		}
		last = bytes.Clone(v.Entry.Path)
		lines = append(lines, fmt.Sprintf("%s %d: %d-%d %d", v.Entry.Path, v.Entry.MTime.Sec, v.Oldest, v.Newest, v.Points))
		return nil
	}))
	slices.Sort(lines)
	return lines
}

func pattern(t testing.TB, glob string) *Pattern {
	t.Helper()
	p, err := Compile(glob)
	must(t, err)
	return p
}

// Searches of many kinds find the versions that looking at every file of every point finds, with all
// names in memory, with some, and with none.
func TestASearchFindsTheVersionsThereAre(t *testing.T) {
	s, r := &store{chunks: map[seal.H][]byte{}}, rand.New(rand.NewPCG(1, 2))
	states, points := history(t, s, 2000, 5, r)
	half, late := int64(1<<19), int64(1700900000)*1e9
	base := func(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
	for _, limit := range []int64{64 << 20, 100 << 10, 0} {
		x := New(s, limit)
		for _, c := range []struct {
			name string
			q    Query
			fits func(path string, e *fileindex.Entry) bool
		}{
			{"by the end of a name", Query{Pattern: pattern(t, "*.odt")}, func(p string, _ *fileindex.Entry) bool { return strings.HasSuffix(p, ".odt") }},
			{"by its beginning", Query{Pattern: pattern(t, "report-00*")}, func(p string, _ *fileindex.Entry) bool { return strings.HasPrefix(base(p), "report-00") }},
			{"by one name", Query{Pattern: pattern(t, "report-0042.txt")}, func(p string, _ *fileindex.Entry) bool { return base(p) == "report-0042.txt" }},
			{"by nothing but its length", Query{Pattern: pattern(t, "????")}, func(p string, _ *fileindex.Entry) bool { return len(base(p)) == 4 }},
			{"by path", Query{Pattern: pattern(t, "/srv/d01?/*.txt")}, func(p string, _ *fileindex.Entry) bool {
				return strings.HasPrefix(p, "srv/d01") && strings.HasSuffix(p, ".txt")
			}},
			{"by path at any depth", Query{Pattern: pattern(t, "/**/report-001*")}, func(p string, _ *fileindex.Entry) bool { return strings.HasPrefix(base(p), "report-001") }},
			{"by size", Query{Pattern: pattern(t, ""), MinSize: half}, func(_ string, e *fileindex.Entry) bool { return e.Type == fileindex.File && e.Size >= half }},
			{"of several names", Query{Pattern: pattern(t, "link-*"), MaxSize: &half}, func(p string, e *fileindex.Entry) bool {
				return strings.HasPrefix(base(p), "link-") && e.Size <= half
			}},
			{"by time", Query{Pattern: pattern(t, "*"), After: &late}, func(_ string, e *fileindex.Entry) bool { return e.MTime.Sec*1e9+7 >= late }},
			{"before a time, by type", Query{Pattern: pattern(t, "*.c"), Before: &late, Types: []fileindex.Type{fileindex.File}}, func(p string, e *fileindex.Entry) bool {
				return strings.HasSuffix(p, ".c") && e.MTime.Sec*1e9+7 < late
			}},
			{"directories", Query{Pattern: pattern(t, "d00*"), Types: []fileindex.Type{fileindex.Dir}}, func(p string, e *fileindex.Entry) bool {
				return strings.HasPrefix(base(p), "d00") && e.Type == fileindex.Dir
			}},
			{"nothing", Query{Pattern: pattern(t, "nothing*")}, func(string, *fileindex.Entry) bool { return false }},
		} {
			for _, of := range []struct {
				states []*files
				points []Point
			}{{states, points}, {states[3:4], points[3:4]}} {
				want, got := want(of.states, c.fits), got(t, x, of.points, &c.q)
				if !slices.Equal(want, got) {
					t.Errorf("limit %d, %d points, %s: %d versions, want %d", limit, len(of.points), c.name, len(got), len(want))
				}
			}
		}
		if x.Size() > limit {
			t.Errorf("%d bytes are kept, %d are allowed", x.Size(), limit)
		}
	}
}

func TestASecondSearchReadsNothing(t *testing.T) {
	s := &store{chunks: map[seal.H][]byte{}}
	_, points := history(t, s, 4000, 3, rand.New(rand.NewPCG(3, 4)))
	x := New(s, 64<<20)
	got(t, x, points, &Query{Pattern: pattern(t, "nothing")})
	first := s.fetched
	got(t, x, points, &Query{Pattern: pattern(t, "neither")})
	if first == 0 || s.fetched != first {
		t.Errorf("the first search read %d nodes, the second %d", first, s.fetched-first)
	}
	// Points share what did not change: the third of them costs less than the first.
	all := New(s, 64<<20)
	s.fetched = 0
	got(t, all, points[:1], &Query{Pattern: pattern(t, "nothing")})
	one := s.fetched
	got(t, all, points, &Query{Pattern: pattern(t, "nothing")})
	if s.fetched >= 3*one {
		t.Errorf("one point is %d nodes, three that share most are %d", one, s.fetched)
	}
}

func TestASearchEndsWithItsCaller(t *testing.T) {
	s := &store{chunks: map[seal.H][]byte{}}
	_, points := history(t, s, 500, 1, rand.New(rand.NewPCG(5, 6)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := New(s, 1<<20).Find(ctx, points, &Query{Pattern: pattern(t, "nothing")}, nil); err == nil {
		t.Error("a search goes on though nobody waits for it")
	}
}
