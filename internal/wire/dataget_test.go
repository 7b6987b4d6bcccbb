package wire

import (
	"bytes"
	"context"
	"testing"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// runs is a memory that reads neighbours in one piece, the last ones first, with a gap
// between them.
type runs struct {
	memory
	gap int
}

type memoryRun struct {
	m     *runs
	ids   []seal.ID
	first int
}

func (m *runs) Runs(_ context.Context, ids []seal.ID) []Run {
	var out []Run
	for to := len(ids); to > 0; to -= 3 {
		from := max(to-3, 0)
		out = append(out, &memoryRun{m, ids[from:to], from})
	}
	return out
}

func (n *memoryRun) Asked() int {
	sum := 0
	for _, id := range n.ids {
		sum += len(n.m.records[id])
	}
	return sum
}

func (n *memoryRun) Size() int { return n.Asked() + n.m.gap }

func (n *memoryRun) Read(_ context.Context, buf []byte, fn func(int, []byte, error)) {
	if len(buf) != n.Size() {
		panic("another size than was asked for")
	}
	for i, id := range n.ids {
		rec, ok := n.m.records[id]
		if !ok {
			fn(n.first+i, nil, errs.New(errs.NotFound, "chunk.missing", "not here"))
			continue
		}
		k := copy(buf, rec)
		fn(n.first+i, buf[:k], nil)
		buf = buf[k:]
	}
}

func TestGetsAreReadInRuns(t *testing.T) {
	for _, gap := range []int{0, 1 << 20} {
		m := &runs{memory: memory{records: map[seal.ID][]byte{}}, gap: gap}
		ids := make([]seal.ID, 200)
		for i := range ids {
			ids[i] = seal.ID{byte(i), 1}
			m.records[ids[i]] = randomBytes(1 + i*97)
		}
		gone := seal.ID{99, 1}
		delete(m.records, gone)
		c := newSite(t, m, nil).dial(nil)
		for range 3 { // the memory of the first is used again
			got := make([]int, len(ids))
			err := c.Get(t.Context(), ids, func(i int, rec []byte) error {
				got[i]++
				if !bytes.Equal(rec, m.records[ids[i]]) {
					t.Errorf("record %d is another", i)
				}
				return nil
			})
			if errs.CodeOf(err) != "chunk.missing" {
				t.Errorf("the missing one: %v", err)
			}
			for i, n := range got {
				if want := 1; n != want && ids[i] != gone {
					t.Errorf("record %d came %d times", i, n)
				}
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
