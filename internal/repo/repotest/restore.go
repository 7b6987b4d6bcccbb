package repotest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// fetcher reads a repository as an agent would.
type fetcher struct {
	mu     sync.Mutex
	r      Reader
	opener *seal.Opener
}

func (f *fetcher) Fetch(ctx context.Context, _ seal.Kind, hs []seal.H) ([][]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([][]byte, len(hs))
	for i, h := range hs {
		rec, err := f.r.Read(ctx, h.ID(), nil)
		if err != nil {
			return nil, err
		}
		if out[i], err = f.opener.Open(nil, &rec, h); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// content reads what an extent names. Of several places of a bundle it takes, as a mover does,
// the one that the repository prefers.
func (f *fetcher) content(ctx context.Context, x fileindex.Extent) ([]byte, error) {
	if x.Kind == fileindex.InChunk {
		got, err := f.Fetch(ctx, seal.KindData, []seal.H{x.H})
		if err != nil {
			return nil, err
		}
		return got[0][x.Offset : int64(x.Offset)+x.Len], nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	rec, err := f.r.Read(ctx, x.H.ID(), nil)
	if err != nil {
		return nil, err
	}
	_, b, err := f.opener.OpenMembers(nil, &rec, x.H, []uint32{x.Member})
	if err != nil {
		return nil, err
	}
	return b.Member(int(x.Member)), nil
}

// Restore reads a point back; files that fail are in failed, with the error's text.
func (s *Site) Restore(ctx context.Context, r Reader, computer string, a point.Attempt) (files, failed map[string]string, err error) {
	content, err := r.Point(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	return s.RestoreFrom(ctx, r, computer, content)
}

// RestoreFrom reads back what an object, a point or a checkpoint, has: of a file that was being
// read, its beginning.
func (s *Site) RestoreFrom(ctx context.Context, r Reader, computer string, object []byte) (files, failed map[string]string, err error) {
	p, err := point.Parse(object)
	if err != nil {
		return nil, nil, err
	}
	keys := s.Keys(computer)
	body, err := point.OpenBody(keys.ComputerKey, &p)
	if err != nil {
		return nil, nil, err
	}
	opener, err := seal.NewOpener(keys)
	if err != nil {
		return nil, nil, err
	}
	defer opener.Close()
	f := &fetcher{r: r, opener: opener}
	root, err := fileindex.FetchRoot(ctx, f, body.Root)
	if err != nil {
		return nil, nil, err
	}
	files, failed = map[string]string{}, map[string]string{}
	root.Trees(func(kind seal.Kind, tree fileindex.Tree) {
		if err == nil {
			err = f.files(ctx, kind, tree, files, failed)
		}
	})
	return files, failed, err
}

func (f *fetcher) files(ctx context.Context, kind seal.Kind, tree fileindex.Tree, files, failed map[string]string) error {
	c := fileindex.NewCursor(f, kind, tree)
	defer c.Close()
	for {
		e, err := c.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := string(e.Path)
		if kind == seal.KindInode {
			name = fmt.Sprintf("inode %d of device %d", e.Inode, e.Device)
		}
		var out bytes.Buffer
		err = fileindex.ForEachExtent(ctx, f, e, func(_ int64, x fileindex.Extent) error {
			got, err := f.content(ctx, x)
			out.Write(got)
			return err
		})
		if err != nil {
			failed[name] = err.Error()
			continue
		}
		files[name] = out.String()
	}
}
