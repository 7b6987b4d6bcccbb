package cli

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWordsOfAScript(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
		ok   bool
	}{
		{"", nil, true},
		{"  ", nil, true},
		{"/a", []string{"/a"}, true},
		{" /a  b\tc ", []string{"/a", "b", "c"}, true},
		{`"/a b" 'c "d"' ""`, []string{"/a b", `c "d"`, ""}, true},
		{`a"b c"d`, []string{"ab cd"}, true},
		{`C:\scripts\x.cmd`, []string{`C:\scripts\x.cmd`}, true},
		{`"a`, []string{"a"}, false},
		{"'", []string{""}, false},
	} {
		got, ok := wordsOf(c.line)
		if d := cmp.Diff(c.want, got); d != "" || ok != c.ok {
			t.Errorf("wordsOf(%q), closed %v (-want +got):\n%s", c.line, ok, d)
		}
	}
}
