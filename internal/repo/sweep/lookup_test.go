package sweep

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// someSegments share some of their ids; some ids share their first bytes.
func someSegments(t *testing.T, n int) ([]repo.IndexSegment, map[seal.ID]int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	pool := make([]seal.ID, 300)
	for i := range pool {
		pool[i] = seal.ID{byte(rng.Uint32()), byte(rng.Uint32()), 3: byte(i), 9: byte(i >> 8), 31: 1}
		if i%5 == 1 { // like the one before, but for the end
			pool[i] = pool[i-1]
			pool[i][31] = 2
		}
	}
	var segs []repo.IndexSegment
	count := map[seal.ID]int{}
	for s := range n {
		var rows []segment.Row
		for range 20 + 40*s {
			id := pool[rng.IntN(len(pool))]
			rows = append(rows, segment.Row{ID: id, Kind: seal.KindData, Length: 100})
			count[id]++
		}
		seg, err := segment.Parse(segment.Encode(segment.Header{Number: uint32(s)}, []segment.Pack{{Class: pack.Data, Number: 1}}, rows))
		must(t, err)
		segs = append(segs, repo.IndexSegment{Name: fmt.Sprint(s), Segment: seg})
	}
	return segs, count
}

func TestEveryIdHasOneBitWhereverItsRowsAre(t *testing.T) {
	segs, count := someSegments(t, 8)
	for _, inTable := range []int64{0, 100, 500, 1 << 20} {
		for _, later := range []int{0, 3} {
			l, err := newLookup(segs[:len(segs)-later], inTable)
			must(t, err)
			l.extend(segs)
			bits := map[bit]seal.ID{}
			err = walk(t.Context(), segs, func(id *seal.ID, rows []found) error {
				if len(rows) != count[*id] {
					t.Fatalf("%d rows of %s, want %d", len(rows), id, count[*id])
				}
				b, ok, err := l.find(id)
				if err != nil || !ok || b != l.bitOf(id, rows) {
					t.Fatalf("%d in the table: %v, %v, %v is not %v", inTable, ok, err, b, l.bitOf(id, rows))
				}
				if other, taken := bits[b]; taken {
					t.Fatalf("%s and %s share a bit", id, other)
				}
				bits[b] = *id
				if l.get(b) {
					t.Fatal("a bit is set before its time")
				}
				l.put(b)
				if all, err := l.rows(nil, id); err != nil || len(all) != len(rows) {
					t.Fatalf("%d rows, want %d, %v", len(all), len(rows), err)
				}
				return nil
			})
			must(t, err)
			if len(bits) != len(count) {
				t.Fatalf("%d bits for %d ids", len(bits), len(count))
			}
			for id := range count {
				id[20] = 99
				if _, ok, err := l.find(&id); ok || err != nil {
					t.Fatal("found what is nowhere", err)
				}
			}
		}
	}
}
