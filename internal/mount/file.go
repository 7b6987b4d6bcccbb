package mount

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

const (
	// A file that is read on and on is fetched ahead of its reader: at first this much, at most that.
	firstAhead = 1 << 20
	mostAhead  = 16 << 20
	// maxAhead is how many chunks one fetch ahead asks for, of 1 MiB most of them; fetchesAhead is how
	// many of those are under way at once, for all files together.
	maxAhead     = 8
	fetchesAhead = 2
	// reordered is how far the kernel's reads of one reader may come out of order.
	reordered = 1 << 20
)

// file is an open file.
type file struct {
	t    *tree
	path string
	size int64

	mu      sync.Mutex
	extents *fileindex.Extents
	window  []piece // consecutive pieces around what was read last
	behind  bool    // extents stands behind window
	next    int64   // where a reader goes on who reads on and on
	ahead   int64   // how much is fetched ahead of him
}

// piece is an extent and where it begins in the file.
type piece struct {
	at int64
	x  fileindex.Extent
}

func (p *piece) end() int64 { return p.at + p.x.Len }

// chunk is what the piece lies in, if it lies anywhere.
func (p *piece) chunk() (chunk, bool) {
	switch p.x.Kind {
	case fileindex.InChunk:
		return chunk{seal.KindData, p.x.H}, true
	case fileindex.InBundle:
		return chunk{seal.KindBundle, p.x.H}, true
	}
	return chunk{}, false
}

func newFile(t *tree, e *fileindex.Entry) *file {
	e = e.Clone()
	return &file{t: t, path: string(e.Path), size: e.Size, extents: fileindex.NewExtents(nodesOf{t.r, t.point.ID}, e)}
}

func (f *file) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.extents.Close()
}

// read reads from offset on; fewer bytes than fit into buf only at the end of the file.
func (f *file) read(ctx context.Context, buf []byte, offset int64) (int, error) {
	if f.t.gone.Load() {
		return 0, errs.New(errs.NotFound, "point.deleted", "restore point %s is deleted", f.t.point.ID)
	}
	if offset < 0 || offset >= f.size {
		return 0, nil
	}
	buf = buf[:min(int64(len(buf)), f.size-offset)]
	pieces, ahead, err := f.plan(ctx, offset, offset+int64(len(buf)))
	if err != nil {
		return 0, err
	}
	var asked []chunk
	for i := range pieces {
		if c, ok := pieces[i].chunk(); ok && !slices.Contains(asked, c) {
			asked = append(asked, c)
		}
	}
	if len(ahead) > 0 {
		f.t.r.prefetch(f.t.point.ID, ahead)
	}
	slots, err := f.t.r.get(ctx, f.t.r.data, f.t.point.ID, asked)
	if err != nil {
		return 0, err
	}
	for i := range pieces {
		p := &pieces[i]
		from, to := max(offset, p.at), min(offset+int64(len(buf)), p.end())
		dst := buf[from-offset : to-offset]
		c, ok := p.chunk()
		if !ok {
			clear(dst)
			continue
		}
		content, err := bytesOf(slots[slices.Index(asked, c)], &p.x)
		if err != nil {
			return 0, err
		}
		copy(dst, content[from-p.at:])
	}
	return len(buf), nil
}

// bytesOf are the bytes of an extent.
func bytesOf(s *slot, x *fileindex.Extent) ([]byte, error) {
	var content []byte
	switch {
	case x.Kind == fileindex.InChunk && int64(x.Offset)+x.Len <= int64(len(s.content)):
		content = s.content[x.Offset : int64(x.Offset)+x.Len]
	case x.Kind == fileindex.InBundle && int64(x.Member) < int64(s.bundle.Len()):
		if !s.bundle.Holds(int(x.Member)) {
			return nil, errs.New(errs.Corrupt, "bundle.punched", "read chunk %s: its member %d was taken out", s.h.ID(), x.Member)
		}
		content = s.bundle.Member(int(x.Member))
	}
	if int64(len(content)) != x.Len {
		return nil, errs.New(errs.Corrupt, "entry.extent", "read chunk %s: it does not hold what the index says", s.h.ID())
	}
	return content, nil
}

// plan answers the pieces that make up a range, and what to fetch ahead of it. A range that the
// point does not hold all of is an error: zeros would be taken for content.
func (f *file) plan(ctx context.Context, from, to int64) (pieces []piece, ahead []chunk, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.cover(ctx, from, to); err != nil {
		f.window, f.behind = nil, false
		return nil, nil, err
	}
	for _, p := range f.window {
		if p.at < to && p.end() > from {
			pieces = append(pieces, p)
		}
	}
	if len(pieces) == 0 || pieces[len(pieces)-1].end() < to {
		return nil, nil, errs.New(errs.Corrupt, "mount.incomplete", "the point does not hold all of the file: it could not be read to its end when it was backed up")
	}
	if d := from - f.next; d > reordered || d < -reordered {
		f.ahead = 0
	} else if from >= f.next {
		f.ahead = min(max(2*f.ahead, firstAhead), mostAhead)
	}
	f.next = max(to, from)
	if f.ahead == 0 {
		return pieces, nil, nil
	}
	// What lies ahead only helps: that its index cannot be read is told when it is wanted.
	if err := f.cover(ctx, from, min(to+f.ahead, f.size)); err != nil {
		f.window, f.behind = nil, false
		return pieces, nil, nil
	}
	for _, p := range f.window {
		if c, ok := p.chunk(); ok && p.at >= to && len(ahead) < maxAhead && !slices.Contains(ahead, c) && !f.t.r.data.has(c.h) {
			ahead = append(ahead, c)
		}
	}
	return pieces, ahead, nil
}

// cover makes the window hold all pieces from one offset to another, as far as there are any.
func (f *file) cover(ctx context.Context, from, to int64) error {
	keep := 0
	for keep < len(f.window) && f.window[keep].end() <= from-reordered {
		keep++
	}
	f.window = slices.Delete(f.window, 0, keep)
	if !f.behind || len(f.window) == 0 || f.window[0].at > from || f.window[len(f.window)-1].end() < from {
		f.window = f.window[:0]
		if err := f.extents.Seek(ctx, from); err != nil {
			return err
		}
		f.behind = true
	}
	for len(f.window) == 0 || f.window[len(f.window)-1].end() < to {
		at, x, err := f.extents.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(f.window); n > 0 && f.window[n-1].end() != at {
			return errs.New(errs.Corrupt, "entry.extent", "its extents have a gap at %d", f.window[n-1].end())
		}
		if x.Len > 0 {
			f.window = append(f.window, piece{at, x})
		}
	}
	return nil
}

// seek answers where the next data or hole begins, at or behind an offset below the size.
func (f *file) seek(ctx context.Context, offset int64, hole bool) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.window, f.behind = f.window[:0], false
	if err := f.extents.Seek(ctx, offset); err != nil {
		return 0, err
	}
	for {
		at, x, err := f.extents.Next(ctx)
		if errors.Is(err, io.EOF) {
			return f.size, nil
		}
		if err != nil {
			return 0, err
		}
		if (x.Kind == fileindex.Hole) == hole && x.Len > 0 {
			return max(at, offset), nil
		}
	}
}
