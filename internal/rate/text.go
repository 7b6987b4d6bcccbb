package rate

import (
	"fmt"
	"strconv"
	"strings"
)

// Examples are texts of rates.
var Examples = []string{"40Mbit/s", "5MB/s", "1.5Gbit/s", "800kbit/s"}

// units are what a rate may be written in, with their bytes a second. Bits are the thousands of the
// network; bytes are as sizes have them elsewhere.
var units = []struct {
	text  string
	bytes float64
}{
	{"gbit/s", 1e9 / 8},
	{"mbit/s", 1e6 / 8},
	{"kbit/s", 1e3 / 8},
	{"gib/s", 1 << 30},
	{"mib/s", 1 << 20},
	{"kib/s", 1 << 10},
	{"gb/s", 1e9},
	{"mb/s", 1e6},
	{"kb/s", 1e3},
}

const (
	textLeast = 8000   // 64 kbit/s: a data connection with less is none
	textMost  = 125e12 // 1 Pbit/s: more is a slip of the finger
)

// Parse reads a rate such as 40Mbit/s, and answers bytes a second.
func Parse(text string) (int64, error) {
	low := strings.ToLower(strings.ReplaceAll(text, " ", ""))
	for _, u := range units {
		number, ok := strings.CutSuffix(low, u.text)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			break
		}
		switch bytes := v * u.bytes; {
		case !(bytes >= textLeast):
			return 0, fmt.Errorf("the rate %q is too low: 64kbit/s is the least", text)
		case bytes > textMost:
			return 0, fmt.Errorf("the rate %q is too high: 1000000Gbit/s is the most", text)
		default:
			return int64(bytes), nil
		}
	}
	return 0, fmt.Errorf("%q is no rate: write a number and Mbit/s or MB/s, for instance %s", text, strings.Join(Examples, ", "))
}
