package tlv

import (
	"bytes"
	"testing"

	"keepward/internal/errs"
)

func TestFieldsComeBackInOrder(t *testing.T) {
	b := Uint(nil, 1, 300)
	b = Uint(b, 2, 0) // not written
	b = Int(b, 3, -7)
	b = Empty(b, 4, "")
	b = Bytes(b, 4, []byte("xy"))
	b = Bool(b, 20, true)
	var got []Field
	last := 0
	for rest := b; len(rest) > 0; {
		f, r, err := Next(rest, last)
		if err != nil {
			t.Fatal(err)
		}
		rest, last = r, f.Number
		got = append(got, f)
	}
	if len(got) != 5 || got[0].Value != 300 || got[1].Int() != -7 || !got[2].IsBytes || len(got[2].Data) != 0 || string(got[3].Data) != "xy" || got[4].Value != 1 {
		t.Errorf("fields: %+v", got)
	}
	var raw []byte
	for _, f := range got {
		raw = append(raw, f.Raw...)
	}
	if !bytes.Equal(raw, b) {
		t.Error("the raw fields do not make up the whole")
	}
}

func TestBadFieldsAreCorrupt(t *testing.T) {
	for name, b := range map[string][]byte{
		"no value": {2}, "field 0": {0, 1}, "cut bytes": {3, 5, 'a'}, "endless number": {2, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1},
	} {
		if _, _, err := Next(b, 0); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := Next(Uint(nil, 3, 1), 4); errs.KindOf(err) != errs.Corrupt {
		t.Errorf("a field out of order: %v", err)
	}
}

func FuzzNext(f *testing.F) {
	f.Add(Bytes(Uint(nil, 1, 5), 2, "abc"), 0)
	f.Fuzz(func(t *testing.T, b []byte, last int) {
		if fl, rest, err := Next(b, last); err == nil && len(fl.Raw)+len(rest) != len(b) {
			t.Error("the field and the rest are not the whole")
		}
	})
}
