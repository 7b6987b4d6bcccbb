package segment

import (
	"testing"

	"keepward/internal/errs"
)

func TestARowIsFoundByItsNumber(t *testing.T) {
	b := Encode(header, packs, randomRows(200, 4))
	s, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	err = s.All(func(want Row) error {
		got, err := s.At(n)
		if err != nil || got != want {
			t.Fatalf("row %d: %+v, %v", n, got, err)
		}
		n++
		return nil
	})
	if err != nil || n != 200 {
		t.Fatal(n, err)
	}
	for _, n := range []int64{-1, 200, 255, 1 << 40} {
		if _, err := s.At(n); errs.KindOf(err) != errs.Corrupt {
			t.Fatalf("row %d: %v", n, err)
		}
	}
}
