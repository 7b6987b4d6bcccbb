package merge

import (
	"bufio"
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/segment"
)

// outBuffer joins pages into one write.
const outBuffer = 1 << 20

// write makes the joined segment durable and answers its name; empty if no row is left.
func (m *merger) write(ctx context.Context, group []repo.IndexSegment) (string, error) {
	var atMost int64
	for _, s := range group {
		atMost += s.Rows()
	}
	t := newTable(group, m.gone)
	b := segment.NewBuilder(atMost)
	err := m.pass(ctx, group, t, func(r *segment.Row) error {
		t.used[r.Pack] = true
		b.Count(r)
		return nil
	})
	if err != nil || b.Rows() == 0 {
		return "", err
	}
	packs, position := t.output()
	for {
		name := repo.SegmentName(m.o.Attempt, m.number)
		err := m.put(ctx, name, b, packs, func(w *segment.Writer) error {
			return m.pass(ctx, group, t, func(r *segment.Row) error {
				r.Pack = position[r.Pack]
				return w.Add(r)
			})
		})
		if err == nil {
			m.result.Written++
			m.result.RowsWritten += b.Rows()
		}
		if errs.KindOf(err) != errs.Exists {
			m.number++
			return name, err
		}
		m.number++ // the attempt has one of this number
	}
}

// put writes one segment, its pages by rows.
func (m *merger) put(ctx context.Context, name string, b *segment.Builder, packs []segment.Pack, rows func(*segment.Writer) error) error {
	out, err := m.r.Backend().Create(ctx, name)
	if err != nil {
		return err
	}
	defer out.Abort()
	buf := bufio.NewWriterSize(out, outBuffer)
	w, err := b.Begin(buf, segment.Header{RepositoryID: m.r.Config().ID, Attempt: m.o.Attempt, Number: m.number}, packs)
	if err == nil {
		err = rows(w)
	}
	if err == nil {
		err = w.Finish()
	}
	if err == nil {
		err = buf.Flush()
	}
	if err != nil {
		return err
	}
	return out.Commit(ctx)
}

// beat is how often a pass looks whether it is to end, in ids.
const beat = 1 << 14

// pass hands the rows that stay to emit, in the order of their ids. Both passes over a group
// hand over the same.
func (m *merger) pass(ctx context.Context, group []repo.IndexSegment, t *table, emit func(*segment.Row) error) error {
	side, err := segment.ReadTogether(plain(group))
	if err != nil {
		return err
	}
	var same []segment.Row
	for n := 0; ; n++ {
		if n%beat == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			m.report()
		}
		same = same[:0]
		_, ok, err := side.Next(func(part int, _ uint32, row *segment.Row) {
			row.Pack = t.of[part][row.Pack]
			same = append(same, *row)
		})
		if err != nil {
			return err
		}
		if !ok {
			m.report()
			return nil
		}
		m.done += int64(len(same))
		for i := range t.reduce(same) {
			if err := emit(&same[i]); err != nil {
				return err
			}
		}
	}
}

func plain(group []repo.IndexSegment) []*segment.Segment {
	out := make([]*segment.Segment, len(group))
	for i := range group {
		out[i] = group[i].Segment
	}
	return out
}
