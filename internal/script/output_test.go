package script

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutputKeepsTheBeginningAndTheEnd(t *testing.T) {
	for _, size := range []int{0, 1, keepHead, keepHead + 1, keepHead + keepTail, keepHead + keepTail + 1, 3 * keepHead} {
		for _, piece := range []int{1, 1000, 3*keepTail + 1} {
			text := bytes.Repeat([]byte("x\n"), size/2+1)[:size]
			o := &output{}
			for rest := text; len(rest) > 0; {
				n := min(piece, len(rest))
				if took, err := o.Write(rest[:n]); took != n || err != nil {
					t.Fatalf("took %d of %d, %v", took, n, err)
				}
				rest = rest[n:]
			}
			_, left := o.result()
			if want := max(0, int64(size-keepHead-keepTail)); left != want {
				t.Errorf("%d bytes in pieces of %d: %d left out, want %d", size, piece, left, want)
			}
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	got := split([]byte(strings.Repeat("é", keepLine) + "\nshort\n\n"))
	want := []string{strings.Repeat("é", keepLine/2) + "…", "short"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	o := &output{}
	_, _ = fmt.Fprint(o, strings.Repeat("a", keepHead+keepTail+5))
	lines, _ := o.result()
	if len(lines) != 3 || lines[1] != "… 5 bytes of output are left out …" {
		t.Errorf("got %d lines, the middle one %q", len(lines), lines[min(1, len(lines)-1)])
	}
}
