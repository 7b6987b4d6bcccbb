// Package manypoints makes repositories of very many points, as years of small incrementals
// leave them, in seconds: for tests and benchmarks of sweeps. It writes the objects itself and
// syncs nothing; it is not for tests of writers. A call owns its directory until it returns.
package manypoints

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

const (
	// ChunksPerPoint are new with each point.
	ChunksPerPoint = 100
	sharedNodes    = 40 // of earlier points, in each point
	pointsPerIndex = 10 // as merges leave it
)

// Options say what is made.
type Options struct {
	Points  int
	Deleted int       // so many of the oldest are marked as deleted
	When    time.Time // and since when
	// ChunkLength is how large data chunks are; zero: 1000 bytes. They are holes in their packs,
	// since no sweep reads what it does not move: make the packs of a point, of a hundred chunks
	// each, so large that they are not joined.
	ChunkLength int
}

// Computer is the one that all points are of.
const Computer = "web0"

// Generate makes a repository of the site in dir, which must not hold anything.
func Generate(ctx context.Context, dir string, site *repotest.Site, o Options) error {
	if o.ChunkLength == 0 {
		o.ChunkLength = 1000
	}
	key, err := site.KeyObject()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := repo.Create(ctx, storage.NewDir(vfs.OS{}, dir), site.Config(), []repo.KeyObject{key}, repo.Owner{Term: 1}); err != nil {
		return err
	}
	keys := site.Keys(Computer)
	g := &generator{Options: o, dir: dir, site: site, keys: keys, owner: site.Owner(Computer), hasher: keys.NewHasher()}
	if g.sealer, err = seal.NewSealer(keys, seal.CompressNone); err != nil {
		return err
	}
	for i := range o.Points {
		if err := g.point(i); err != nil {
			return err
		}
		if (i+1)%pointsPerIndex == 0 || i+1 == o.Points {
			if err := g.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

type generator struct {
	Options
	dir    string
	site   *repotest.Site
	keys   *seal.Keys
	owner  [16]byte
	sealer *seal.Sealer
	hasher *seal.Hasher
	nodes  []seal.ID
	header segment.Header
	packs  []segment.Pack
	rows   []segment.Row
}

func (g *generator) path(name string) string { return filepath.Join(g.dir, filepath.FromSlash(name)) }

func (g *generator) put(name string, content []byte) error {
	path := g.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// builder gathers one pack.
type builder struct {
	g       *generator
	name    string
	number  uint32 // in the segment
	content []byte
	entries []pack.Entry
}

func (g *generator) pack(a point.Attempt, c pack.Class) *builder {
	g.packs = append(g.packs, segment.Pack{Attempt: a, Class: c, Number: 1, Owner: g.owner})
	head := pack.Header{Class: c, RepositoryID: g.site.ID, Attempt: a, Owner: g.owner, Number: 1}.Append(nil)
	return &builder{g: g, name: repo.PackName(a, c, 1), number: uint32(len(g.packs) - 1), content: head}
}

func (b *builder) add(kind seal.Kind, refs []seal.ID, content []byte) (seal.H, error) {
	h := b.g.hasher.Hash(kind, content)
	at := len(b.content)
	var err error
	b.content, err = b.g.sealer.Seal(b.content, kind, h, refs, content)
	b.row(h.ID(), kind, at, len(b.content)-at)
	return h, err
}

func (b *builder) row(id seal.ID, kind seal.Kind, offset, length int) {
	b.entries = append(b.entries, pack.Entry{ID: id, Offset: uint32(offset), Length: uint32(length), Kind: kind})
	b.g.rows = append(b.g.rows, segment.Row{ID: id, Pack: b.number, Offset: uint32(offset), Length: uint32(length), Kind: kind})
}

// data is a pack of new chunks.
func (g *generator) data(i int, a point.Attempt) ([]seal.ID, error) {
	b := g.pack(a, pack.Data)
	refs := make([]seal.ID, ChunksPerPoint)
	at := len(b.content)
	for n := range refs {
		refs[n] = g.hasher.Hash(seal.KindData, binary.LittleEndian.AppendUint32(nil, uint32(i*ChunksPerPoint+n))).ID()
		b.row(refs[n], seal.KindData, at, g.ChunkLength)
		at += g.ChunkLength
	}
	if err := g.put(b.name, b.content); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(g.path(b.name), os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteAt(pack.AppendDirectory(nil, int64(at), b.entries), int64(at))
	return refs, errors.Join(err, f.Close())
}

// point is one point: a node of new chunks, a root of it and of nodes of earlier points.
func (g *generator) point(i int) error {
	a := repotest.Attempt(i)
	if len(g.rows) == 0 {
		g.header = segment.Header{RepositoryID: g.site.ID, Attempt: a, Owner: g.owner, Number: 1}
	}
	refs, err := g.data(i, a)
	if err != nil {
		return err
	}
	meta := g.pack(a, pack.Meta)
	node, err := meta.add(seal.KindNode, refs, fmt.Append(nil, "node ", i))
	if err != nil {
		return err
	}
	g.nodes = append(g.nodes, node.ID())
	root, err := meta.add(seal.KindRoot, g.nodes[max(0, len(g.nodes)-sharedNodes):], fmt.Append(nil, "root ", i))
	if err != nil {
		return err
	}
	if err := g.put(meta.name, pack.AppendDirectory(meta.content, int64(len(meta.content)), meta.entries)); err != nil {
		return err
	}
	return g.name(i, a, root)
}

// name puts the point's object, and its marker if it has one.
func (g *generator) name(i int, a point.Attempt, root seal.H) error {
	body, err := point.SealBody(g.keys.ComputerKey, g.site.ID, a, point.Body{Root: root, Files: ChunksPerPoint, Bytes: int64(ChunksPerPoint * g.ChunkLength)})
	if err != nil {
		return err
	}
	// An hour apart, the last one a day before the oldest were deleted.
	at := g.When.Add(-24*time.Hour - time.Duration(g.Points-i)*time.Hour)
	issue, err := point.SealIssue(g.site.Master.IssueKey(), g.site.ID, a, point.Issue{Computer: Computer, Job: "hourly", Session: int64(i + 1), Time: at})
	if err != nil {
		return err
	}
	if err := g.put("points/"+a.String(), point.Encode(g.site.ID, a, point.Draft{Type: point.Complete, RootID: root.ID(), Body: body}, issue)); err != nil {
		return err
	}
	if i >= g.Deleted {
		return nil
	}
	return g.put("deleted/"+a.String(), ledger.Mark{Kind: ledger.Deleted, Repository: g.site.ID, Attempt: a, Time: g.When}.Encode())
}

func (g *generator) flush() error {
	err := g.put(repo.SegmentName(g.header.Attempt, 1), segment.Encode(g.header, g.packs, g.rows))
	g.packs, g.rows = nil, nil
	return err
}
