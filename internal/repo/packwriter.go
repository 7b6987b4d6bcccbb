package repo

import (
	"bufio"
	"context"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// packBuffer joins small records into one write; larger ones go past it.
const packBuffer = 256 << 10

// packWriter writes one pack. It belongs to the Writer, under its lock, until it is handed
// over to be committed. After a failure nothing more is written.
type packWriter struct {
	class   pack.Class
	number  uint32
	out     storage.Writer
	buf     *bufio.Writer
	size    int64
	entries []pack.Entry
	err     error
	// committed is for who has waited until the pack was closed.
	committed bool
}

func newPackWriter(ctx context.Context, b storage.Backend, h pack.Header) (*packWriter, error) {
	out, err := b.Create(ctx, packName(h.Attempt, h.Class, h.Number))
	if err != nil {
		return nil, err
	}
	p := &packWriter{class: h.Class, number: h.Number, out: out, buf: bufio.NewWriterSize(out, packBuffer)}
	p.write(h.Append(nil))
	if p.err != nil {
		out.Abort()
	}
	return p, p.err
}

func (p *packWriter) write(b []byte) {
	if p.err == nil {
		_, p.err = p.buf.Write(b)
		p.size += int64(len(b))
	}
}

func (p *packWriter) add(rec *seal.Record) error {
	e := entryOf(*rec, p.size)
	p.write(rec.Bytes())
	if p.err == nil {
		p.entries = append(p.entries, e)
	}
	return p.err
}

// commit writes the directory and makes the pack durable.
func (p *packWriter) commit(ctx context.Context) error {
	p.write(pack.AppendDirectory(nil, p.size, p.entries))
	if p.err == nil {
		p.err = p.buf.Flush()
	}
	if p.err != nil {
		p.out.Abort()
		return p.err
	}
	p.err = p.out.Commit(ctx)
	p.committed = p.err == nil
	return p.err
}

func (p *packWriter) abort() { p.out.Abort() }
