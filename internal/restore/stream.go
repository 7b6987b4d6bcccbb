package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

const (
	// streamBatch is how many extents are fetched at once, and streamAhead how many such batches may
	// wait for who takes them: chunks are a megabyte each, mostly.
	streamBatch = 8
	streamAhead = 2
	// streamZeros is how much of a hole is written at once.
	streamZeros = 256 << 10
)

// Stream writes the content of one file of a point, from its beginning to its end, and answers how
// much that was. Of the options it takes Store, Keys, Point and Counters, and of Paths the only one.
// What cannot be read ends it before the end: then w has got a part.
func Stream(ctx context.Context, o Options, w io.Writer) (int64, error) {
	if len(o.Paths) != 1 {
		return 0, errs.New(errs.Invalid, "restore.one-path", "read a file of point %s: %d paths are named, not one", o.Point, len(o.Paths))
	}
	c := o.Counters
	if c == nil {
		c = &Counters{}
	}
	body, err := openPoint(ctx, &o)
	if err != nil {
		return 0, err
	}
	n, err := newNodes(o.Store, o.Keys)
	if err != nil {
		return 0, err
	}
	defer n.close()
	root, err := fileindex.FetchRoot(ctx, n, body.Root)
	if err != nil {
		return 0, fmt.Errorf("restore point %s: %w", o.Point, err)
	}
	e, err := lookUp(ctx, n, &root, o.Paths[0])
	if err != nil {
		return 0, err
	}
	c.TotalFiles.Store(1)
	c.TotalBytes.Store(e.Size)
	c.PlanDone.Store(1)
	s := &streaming{n: n, c: c, e: e}
	done, err := s.run(ctx, w)
	if err == nil && done != e.Size {
		err = errs.New(errs.Corrupt, "restore.size", "read %s: the point holds %d of its %d bytes", display(o.Paths[0]), done, e.Size)
	}
	if err == nil {
		c.DoneFiles.Store(1)
	}
	return done, err
}

func display(path []byte) string { return fmt.Sprintf("%q", path) }

// lookUp finds a regular file that was read whole.
func lookUp(ctx context.Context, n *nodes, root *fileindex.Root, full []byte) (*fileindex.Entry, error) {
	key := fileindex.PathKey(pathOf(full))
	paths := fileindex.NewCursor(n, seal.KindNode, root.Paths)
	defer paths.Close()
	e, err := paths.Lookup(ctx, key)
	if err != nil {
		return nil, err
	}
	inodes := fileindex.NewCursor(n, seal.KindInode, root.Inodes)
	defer inodes.Close()
	if e, err = inodes.Whole(ctx, e); err != nil {
		return nil, err
	}
	switch {
	case e.Type != fileindex.File:
		return nil, errs.New(errs.Invalid, "restore.no-file", "read %s: it is a %s, and no file", display(full), e.Type)
	case e.State&fileindex.Incomplete != 0:
		return nil, errs.New(errs.Invalid, "restore.no-file", "read %s: not all of it could be read when it was backed up", display(full))
	}
	return e.Clone(), nil
}

// pathOf is a full name as the file index has it.
func pathOf(full []byte) []byte {
	for len(full) > 0 && full[0] == '/' {
		full = full[1:]
	}
	for len(full) > 0 && full[len(full)-1] == '/' {
		full = full[:len(full)-1]
	}
	return full
}

// streaming is a file that is read on and on.
type streaming struct {
	n *nodes
	c *Counters
	e *fileindex.Entry
}

// piece is an extent with its bytes; of zeros and holes there are none.
type piece struct {
	x    fileindex.Extent
	data []byte
}

// run fetches batches ahead and writes them in order.
func (s *streaming) run(ctx context.Context, w io.Writer) (done int64, err error) {
	batches := make(chan []piece, streamAhead) // the next ones while one is written
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		list := fileindex.NewExtents(s.n, s.e)
		defer list.Close()
		for {
			batch, err := s.batch(ctx, list)
			if err != nil {
				return err
			}
			if len(batch) == 0 {
				return nil
			}
			select {
			case batches <- batch:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	g.Go(func() error {
		for batch := range batches {
			for i := range batch {
				if err := s.write(w, &batch[i]); err != nil {
					return err
				}
				done += batch[i].x.Len
				s.c.DoneBytes.Store(done)
			}
		}
		return nil
	})
	err = g.Wait()
	return done, err
}

// batch fetches the next extents.
func (s *streaming) batch(ctx context.Context, list *fileindex.Extents) ([]piece, error) {
	var out []piece
	hs := map[seal.Kind][]seal.H{}
	for len(out) < streamBatch {
		_, x, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read content map: %w", err)
		}
		out = append(out, piece{x: x})
		if kind, ok := storedAs(&x); ok && !slices.Contains(hs[kind], x.H) {
			hs[kind] = append(hs[kind], x.H)
		}
	}
	got := map[seal.H][]byte{}
	for kind, list := range hs {
		contents, err := s.n.Fetch(ctx, kind, list)
		if err != nil {
			return nil, err
		}
		for i := range list {
			got[list[i]] = contents[i]
			s.c.Chunks.Add(1)
		}
	}
	for i := range out {
		if err := out[i].cut(got[out[i].x.H]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// storedAs is the kind of chunk that an extent lies in; false: in none.
func storedAs(x *fileindex.Extent) (seal.Kind, bool) {
	switch x.Kind {
	case fileindex.InChunk:
		return seal.KindData, true
	case fileindex.InBundle:
		return seal.KindBundle, true
	}
	return 0, false
}

// cut takes a piece's bytes out of its chunk.
func (p *piece) cut(content []byte) error {
	switch p.x.Kind {
	case fileindex.InChunk:
		if end := int64(p.x.Offset) + p.x.Len; end <= int64(len(content)) {
			p.data = content[p.x.Offset:end]
		}
	case fileindex.InBundle:
		b, err := seal.ParseBundle(content)
		if err != nil {
			return err
		}
		p.data = b.Member(int(p.x.Member))
	default:
		return nil
	}
	if int64(len(p.data)) != p.x.Len {
		return errs.New(errs.Corrupt, "entry.extent", "read file: an extent of %d bytes is not in chunk %s", p.x.Len, p.x.H.ID())
	}
	return nil
}

var streamZero [streamZeros]byte

func (s *streaming) write(w io.Writer, p *piece) error {
	if _, stored := storedAs(&p.x); stored {
		_, err := w.Write(p.data)
		return err
	}
	for left := p.x.Len; left > 0; {
		n := min(left, streamZeros)
		if _, err := w.Write(streamZero[:n]); err != nil {
			return err
		}
		left -= n
	}
	return nil
}
