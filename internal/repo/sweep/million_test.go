package sweep

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"keepward/internal/repo"
	"keepward/internal/repo/ledger"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/repotest"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs"
)

var large = flag.Bool("large", false, "sweep 1 000 000 chunks in 10 000 points, not a tenth of them")

const (
	chunksPerPoint = 100
	sharedNodes    = 40  // of earlier points, in each point
	pointsPerIndex = 10  // as merges leave it
	maxAnonymous   = 256 // MiB
	childDir       = "KEEPWARD_SWEEP_CHILD"
)

// unsynced is a file system that does not wait for the disk: the test is about memory.
type unsynced struct{ vfs.OS }

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }
func (unsynced) SyncDir(name string) error {
	_, err := os.Stat(name)
	return err
}

func (u unsynced) Create(name string) (vfs.File, error) {
	f, err := u.OS.Create(name)
	return unsyncedFile{f}, err
}

// The bound holds for a process of its own, as a mover is one.
func TestASweepOfManyPointsStaysSmall(t *testing.T) {
	if dir := os.Getenv(childDir); dir != "" {
		sweepChild(t, dir)
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	points := 1000
	if *large {
		points = 10_000
	}
	dir := t.TempDir()
	generate(t, dir, points)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestASweepOfManyPointsStaysSmall$", "-test.v")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

func sweepChild(t *testing.T, dir string) {
	ctx := context.Background()
	r, err := repo.Open(ctx, storage.NewDir(unsynced{}, dir))
	must(t, err)
	defer r.Close() //nolint:errcheck // the test is over
	var purge []point.Attempt
	for m, err := range r.Markers(ctx) {
		must(t, err)
		purge = append(purge, m.Attempt)
	}
	peak := int64(0)
	began, last := time.Now(), Step("")
	o := Options{Attempt: repotest.Attempt(60_000), Term: 1, Purge: purge, Progress: func(s Step, done, _ int64) {
		if s != last {
			t.Logf("%-12s after %v, %d MiB anonymous", s, time.Since(began).Round(time.Millisecond), anonymous(t)>>20)
			last = s
		}
		if done%100 == 0 {
			peak = max(peak, anonymous(t))
		}
	}}
	report, err := Run(ctx, r, o)
	must(t, err)
	t.Logf("purged %d, deleted %d packs, spared %d; %v; peak %d MiB anonymous, %d MiB in all", len(report.Purged), report.DeletedPacks, report.SparedPacks,
		time.Since(began).Round(time.Millisecond), peak>>20, status(t, "VmHWM")>>20)
	if !report.Done || len(report.Purged) != len(purge) || report.DeletedPacks == 0 {
		t.Fatalf("%+v", report.Refused)
	}
	if peak > maxAnonymous<<20 {
		t.Fatalf("%d MiB of anonymous memory", peak>>20)
	}
}

func anonymous(t *testing.T) int64 { return status(t, "RssAnon") }

func status(t *testing.T, field string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	must(t, err)
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), field+":"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			must(t, err)
			return n << 10
		}
	}
	t.Fatalf("no %s", field)
	return 0
}

// generator writes points as a mover would leave them, but for the content of data packs,
// which no sweep reads.
type generator struct {
	t      *testing.T
	dir    string
	site   *repotest.Site
	owner  [16]byte
	sealer *seal.Sealer
	hasher *seal.Hasher
	nodes  []seal.ID
	goes   int // so many of the oldest points are deleted
	header segment.Header
	packs  []segment.Pack
	rows   []segment.Row
}

func generate(t *testing.T, dir string, points int) {
	site := repotest.NewSite()
	key, err := site.KeyObject()
	must(t, err)
	must(t, os.RemoveAll(dir))
	must(t, repo.Create(context.Background(), storage.NewDir(unsynced{}, dir), site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}))
	keys := site.Keys("web1")
	g := &generator{t: t, dir: dir, site: site, owner: site.Owner("web1"), hasher: keys.NewHasher(), goes: points / 2}
	g.sealer, err = seal.NewSealer(keys, seal.CompressNone)
	must(t, err)
	for i := range points {
		g.point(i)
		if (i+1)%pointsPerIndex == 0 {
			g.flush()
		}
	}
}

func (g *generator) put(name string, content []byte) {
	path := filepath.Join(g.dir, filepath.FromSlash(name))
	must(g.t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(g.t, os.WriteFile(path, content, 0o600))
}

// chunk is the id of a data chunk; ids are hashes, so any even spread will do.
func (g *generator) chunk(point, n int) seal.ID {
	return g.hasher.Hash(seal.KindData, binary.LittleEndian.AppendUint32(nil, uint32(point*chunksPerPoint+n))).ID()
}

// point is one point: a node of new chunks, a root of it and of nodes of earlier points.
func (g *generator) point(i int) {
	a := repotest.Attempt(i)
	if len(g.rows) == 0 {
		g.header = segment.Header{RepositoryID: g.site.ID, Attempt: a, Owner: g.owner, Number: 1}
	}
	data := g.pack(a, pack.Data)
	refs := make([]seal.ID, chunksPerPoint)
	offset := uint32(pack.HeaderSize)
	for n := range refs {
		refs[n] = g.chunk(i, n)
		g.rows = append(g.rows, segment.Row{ID: refs[n], Pack: data, Offset: offset, Length: 1000, Kind: seal.KindData})
		offset += 1000
	}
	meta := g.pack(a, pack.Meta)
	b := g.head(a, pack.Meta)
	record := func(kind seal.Kind, refs []seal.ID, content string) seal.ID {
		h := g.hasher.Hash(kind, []byte(content))
		rec, err := g.sealer.Seal(nil, kind, h, refs, []byte(content))
		must(g.t, err)
		g.rows = append(g.rows, segment.Row{ID: h.ID(), Pack: meta, Offset: uint32(len(b)), Length: uint32(len(rec)), Kind: kind})
		b = append(b, rec...)
		return h.ID()
	}
	node := record(seal.KindNode, refs, fmt.Sprint("node ", i))
	g.nodes = append(g.nodes, node)
	from := max(0, len(g.nodes)-sharedNodes)
	root := record(seal.KindRoot, g.nodes[from:], fmt.Sprint("root ", i))
	g.put(repo.PackName(a, pack.Meta, 1), b)
	g.put(repo.PackName(a, pack.Data, 1), g.head(a, pack.Data))
	g.put("points/"+a.String(), point.Encode(g.site.ID, a, point.Draft{Type: point.Complete, RootID: root}, nil))
	if i < g.goes {
		g.put("deleted/"+a.String(), ledger.Mark{Kind: ledger.Deleted, Repository: g.site.ID, Attempt: a}.Encode())
	}
}

func (g *generator) head(a point.Attempt, c pack.Class) []byte {
	return pack.Header{Class: c, RepositoryID: g.site.ID, Attempt: a, Owner: g.owner, Number: 1}.Append(nil)
}

func (g *generator) pack(a point.Attempt, c pack.Class) uint32 {
	g.packs = append(g.packs, segment.Pack{Attempt: a, Class: c, Number: 1, Owner: g.owner})
	return uint32(len(g.packs) - 1)
}

func (g *generator) flush() {
	g.put(repo.SegmentName(g.header.Attempt, 1), segment.Encode(g.header, g.packs, g.rows))
	g.packs, g.rows = nil, nil
}
