package words

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Safe makes any bytes fit to be shown on one line: control characters, characters that turn the
// direction of writing or are not to be seen, and bytes that are not UTF-8 become escapes as in
// C (\n, \x1b, \u202e). A backslash is doubled, so that two different names never look the same.
func Safe(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		case shown(r):
			b.WriteRune(r)
		default:
			escape(&b, r)
		}
		i += n
	}
	return b.String()
}

// escapeNames are the control characters that have a letter.
var escapeNames = map[rune]string{'\a': `\a`, '\b': `\b`, '\t': `\t`, '\n': `\n`, '\v': `\v`, '\f': `\f`, '\r': `\r`}

func escape(b *strings.Builder, r rune) {
	switch name, ok := escapeNames[r]; {
	case ok:
		b.WriteString(name)
	case r < 0x80:
		fmt.Fprintf(b, `\x%02x`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}

// plain says whether s needs no escape at all, which is the rule.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// shown says whether r is shown as one character that stays where it is. IsPrint leaves out
// controls, formats (bidirectional marks among them), surrogates, private use and all spaces but
// the common one.
func shown(r rune) bool { return unicode.IsPrint(r) }
