package segment

import (
	"encoding/binary"
	"testing"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
)

// BenchmarkEncode makes a segment of 100 000 rows, as a writer does.
func BenchmarkEncode(b *testing.B) {
	const n = 100_000
	rows := make([]Row, n)
	for i := range rows {
		var id seal.ID
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9e3779b97f4a7c15)
		rows[i] = Row{ID: id, Offset: uint32(i), Length: 1, Kind: seal.KindData}
	}
	packs := []Pack{{Class: pack.Data, Number: 1, Length: 1 << 30}}
	order := make([]Row, n)
	for b.Loop() {
		copy(order, rows)
		Encode(Header{Number: 1}, packs, order)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}
