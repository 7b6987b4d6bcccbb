package mover

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// fetcher opens metadata chunks of the repository. It is a fileindex.Fetcher and may be used
// by any number of goroutines.
type fetcher struct {
	repo    *repo.Repository
	keys    *seal.Keys
	openers sync.Pool // *seal.Opener
}

func newFetcher(r *repo.Repository, keys *seal.Keys) *fetcher {
	return &fetcher{repo: r, keys: keys}
}

// Fetch answers the contents of hs in their order.
func (f *fetcher) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	out := make([][]byte, len(hs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2 * runtime.GOMAXPROCS(0)) // the disk has latency, too
	for i := range hs {
		g.Go(func() (err error) {
			out[i], err = f.one(ctx, kind, hs[i])
			return err
		})
	}
	return out, g.Wait()
}

func (f *fetcher) one(ctx context.Context, kind seal.Kind, h seal.H) (content []byte, err error) {
	o, _ := f.openers.Get().(*seal.Opener)
	if o == nil {
		if o, err = seal.NewOpener(f.keys); err != nil {
			return nil, err
		}
	}
	defer f.openers.Put(o)
	err = f.repo.ReadGood(ctx, h.ID(), func(rec *seal.Record) (err error) {
		if rec.Kind != kind {
			return errs.New(errs.Corrupt, "chunk.kind", "read chunk %s: it is a %s, not a %s", rec.ID, rec.Kind, kind)
		}
		content, err = o.Open(nil, rec, h)
		return err
	})
	if err != nil {
		return nil, err
	}
	return content, nil
}

// tree is the file index of one restore point.
type tree struct {
	fileindex.Root
	paths  *fileindex.Cursor
	inodes *fileindex.Cursor // for files with several names
}

// open opens a restore point with its computer's key. Close the tree.
func (f *fetcher) open(ctx context.Context, name string, computer []byte) (*tree, error) {
	root, err := f.root(ctx, name, computer)
	if err != nil {
		return nil, err
	}
	return &tree{
		Root:   root,
		paths:  fileindex.NewCursor(f, seal.KindNode, root.Paths),
		inodes: fileindex.NewCursor(f, seal.KindInode, root.Inodes),
	}, nil
}

func (t *tree) close() {
	t.paths.Close()
	t.inodes.Close()
}

// entry is what clients see of an entry. One of several names of an inode holds nothing
// itself: all else stands in the inode table.
func (t *tree) entry(ctx context.Context, e *fileindex.Entry) (*keepwardv1.Entry, error) {
	whole, err := t.inodes.Whole(ctx, e)
	if err != nil {
		return nil, err
	}
	return toEntry(whole, t.OS), nil
}

// root reads the root of a restore point.
func (f *fetcher) root(ctx context.Context, name string, computer []byte) (fileindex.Root, error) {
	a, err := point.ParseAttempt(name)
	if err != nil {
		return fileindex.Root{}, err
	}
	if len(computer) != len(seal.Secret{}) {
		return fileindex.Root{}, errs.New(errs.Invalid, "order.keys", "open restore point %s: the computer key has %d bytes", name, len(computer))
	}
	content, err := f.repo.Point(ctx, a)
	if err != nil {
		return fileindex.Root{}, err
	}
	p, err := point.Parse(content)
	if err != nil {
		return fileindex.Root{}, err
	}
	if p.Type != point.Complete && p.Type != point.Partial {
		return fileindex.Root{}, errs.New(errs.NotFound, "point.not-found", "open restore point %s: a %s is there", name, p.Type)
	}
	body, err := point.OpenBody(seal.Secret(computer), &p)
	if err != nil {
		return fileindex.Root{}, err
	}
	root, err := fileindex.FetchRoot(ctx, f, body.Root)
	if errs.CodeOf(err) == "chunk.missing" {
		// The point may be younger than this mover's view of the index.
		if rerr := f.repo.Refresh(ctx); rerr != nil {
			return root, rerr
		}
		root, err = fileindex.FetchRoot(ctx, f, body.Root)
	}
	return root, err
}
