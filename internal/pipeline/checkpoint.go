package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/zeebo/blake3"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/source"
)

// marker makes checkpoints. It belongs to the goroutine that builds the path tree.
type marker struct {
	r     *run
	every time.Duration
	bytes int64
	at    time.Time // of the last one
	sent  int64     // bytes sent until then
}

func newMarker(r *run) marker {
	m := marker{r: r, every: r.opts.CheckpointEvery, bytes: r.opts.CheckpointBytes, at: r.opts.Clock()}
	if m.every == 0 {
		m.every = defaultCheckpointEvery
	}
	if m.bytes == 0 {
		m.bytes = defaultCheckpointBytes
	}
	return m
}

// maybe makes a checkpoint when one is due. Nothing sent since the last means nothing to keep.
func (m *marker) maybe(ctx context.Context, paths *orderer) error {
	sent := m.r.count.sentBytes.Load()
	if sent == m.sent || sent-m.sent < m.bytes && m.r.opts.Clock().Sub(m.at) < m.every {
		return nil
	}
	// The tree so far is finished on a copy; what both share is stored once.
	tree, err := paths.builder.Clone().Finish(ctx)
	if err != nil {
		return err
	}
	root := fileindex.Root{Paths: tree, Include: m.r.opts.Selection.Include, OS: runtime.GOOS, Version: m.r.opts.Version}
	body := point.Body{
		Files: tree.Entries, Bytes: paths.bytes, Errors: m.r.count.errors.Load(),
		Completeness: point.Unfinished, Options: fingerprint(&m.r.opts.Selection), Last: paths.lastKey(),
	}
	draft, err := m.r.draft(ctx, point.Checkpoint, &root, &body)
	if err != nil {
		return err
	}
	if err := m.r.store.Checkpoint(ctx, draft); err != nil {
		return fmt.Errorf("record checkpoint of attempt %s: %w", m.r.opts.Attempt, err)
	}
	m.at, m.sent = m.r.opts.Clock(), m.r.count.sentBytes.Load()
	return nil
}

// bases are what the trees of a backup are compared with.
type bases struct {
	paths, inodes base
	some          bool
	files, bytes  int64 // of the parent
}

// bases opens the parent and the checkpoint. A checkpoint that is lost costs time, not the
// backup.
func (r *run) bases(ctx context.Context) (*bases, error) {
	b := &bases{paths: base{damaged: r.damaged}, inodes: base{damaged: r.damaged}}
	if r.opts.Checkpoint != "" {
		if e, err := openEarlier(ctx, r.store, r.opts.Keys, r.fetch, r.opts.Checkpoint); err == nil && len(e.body.Last) > 0 {
			b.paths.parts = append(b.paths.parts, part{cursor: fileindex.NewCursor(r.fetch, seal.KindNode, e.root.Paths), last: e.body.Last})
			b.some = true
		} else if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if r.opts.Parent == "" || r.opts.Full {
		return b, nil
	}
	e, err := openEarlier(ctx, r.store, r.opts.Keys, r.fetch, r.opts.Parent)
	if errs.CodeOf(err) == "point.needs-damaged" {
		// Compared with nothing, every chunk is asked for and what is damaged is stored again.
		r.damaged(err)
		return b, nil
	}
	if err != nil {
		b.paths.close()
		return nil, err
	}
	r.renewal.parse(e.root.Thin)
	b.some, b.files, b.bytes = true, e.body.Files, e.body.Bytes
	b.paths.parts = append(b.paths.parts, part{cursor: fileindex.NewCursor(r.fetch, seal.KindNode, e.root.Paths)})
	b.inodes.parts = append(b.inodes.parts, part{cursor: fileindex.NewCursor(r.fetch, seal.KindInode, e.root.Inodes)})
	return b, nil
}

// damaged reports a parent that cannot be compared with, or not to its end.
func (r *run) damaged(err error) {
	r.reports.event(Event{Level: source.Warning, Code: "parent.damaged", Text: err.Error() + "; every file is read instead"})
}

// fingerprint tells selections apart.
func fingerprint(s *source.Selection) []byte {
	h := blake3.New()
	for _, list := range [][]string{s.Include, s.Exclude} {
		_, _ = h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(list)))) // never fails
		for _, p := range list {
			_, _ = h.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(p))))
			_, _ = h.WriteString(p)
		}
	}
	flags := byte(0)
	if s.OneFileSystem {
		flags |= 1
	}
	if s.IncludeCaches {
		flags |= 2
	}
	_, _ = h.Write([]byte{flags})
	return h.Sum(nil)[:16]
}
