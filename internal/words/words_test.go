package words

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"plain name.txt":         "plain name.txt",
		"ünï 名前":                 "ünï 名前",
		"new\nline\r\t":          `new\nline\r\t`,
		"\x1b[31mred\a\x7f":      `\x1b[31mred\a\x7f`,
		"\xff\xfe ok \x80":       `\xff\xfe ok \x80`,
		`back\slash`:             `back\\slash`,
		"\u202eturned\u200b":     `\u202eturned\u200b`,
		"\u0085\u2028\U000e0001": `\u0085\u2028\U000e0001`,
		"\u00a0":                 `\u00a0`,
	} {
		if got := Safe(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

// FuzzSafe holds that nothing that moves a cursor gets through, and that two
// different names never look the same.
func FuzzSafe(f *testing.F) {
	f.Add("a\nb", `a\nb`)
	f.Add("\xff", `\xff`)
	f.Fuzz(func(t *testing.T, a, b string) {
		s := Safe(a)
		if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q: %q", a, s)
		}
		if a != b && s == Safe(b) {
			t.Fatalf("%q and %q both look like %s", a, b, s)
		}
	})
}

func TestSize(t *testing.T) {
	for in, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 1536 << 10: "1.50 MiB", 1023 << 10: "1.00 MiB", 999 << 20: "999 MiB",
		100 << 30: "100 GiB", 5 << 40: "5.00 TiB", 1<<63 - 1: "8.00 EiB", -2048: "-2.00 KiB",
	} {
		if got := Size(in); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for in, want := range map[int64]string{0: "0", 999: "999", 1000: "1 000", 1234567: "1 234 567", -1000: "-1 000", -999: "-999"} {
		if got := Count(in); got != want {
			t.Errorf("%d: %s, want %s", in, got, want)
		}
	}
}

func TestSpan(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0 ms", 1500 * time.Millisecond: "1.5 s", 61 * time.Second: "1:01 min", 3*time.Hour + 4*time.Minute: "3:04 h", 75 * time.Hour: "3 d 3 h", -time.Minute: "-1:00 min",
	} {
		if got := Span(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestRateForgetsAFormerAttempt(t *testing.T) {
	var r Rate
	at := time.Unix(0, 0)
	for i := range 20 {
		r.Add(at.Add(time.Duration(i)*time.Second), int64(i)*100)
	}
	if got := r.PerSecond(); got != 100 {
		t.Errorf("%d a second, want 100", got)
	}
	r.Add(at.Add(21*time.Second), 0)
	r.Add(at.Add(23*time.Second), 400)
	if got := r.PerSecond(); got != 200 {
		t.Errorf("%d a second after a new attempt, want 200", got)
	}
}

func TestLimitedByNamesTheMostFirst(t *testing.T) {
	for want, l := range map[string]*keepwardv1.Limits{
		"CPU 71 %, source 22 %, target 7 %": {Source: 22, Cpu: 71, Target: 7},
		"network 100 %":                     {Network: 100},
		"":                                  nil,
	} {
		if got := LimitedBy(l); got != want {
			t.Errorf("%v reads %q, want %q", l, got, want)
		}
	}
}
