package cli

import "testing"

func TestSizesAreRead(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "12B": 12, "64MiB": 64 << 20, "10GB": 10e9, "1.5k": 1500, "1 KiB": 1024, "2T": 2e12, "1TiB": 1 << 40,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1", "1iB", "1PB", "1e3", "99999999999999T", "1,5GB"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is read as %d", text, got)
		}
	}
}
