package search

import (
	"regexp"
	"strings"
)

// globPattern is a glob as a regular expression.
func globPattern(glob string) string {
	var b strings.Builder
	for i := 0; i < len(glob); i++ {
		switch c := glob[i]; c {
		case '*':
			switch {
			case strings.HasPrefix(glob[i:], "**/"):
				b.WriteString(`(?:.*/)?`)
				i += 2
			case strings.HasPrefix(glob[i:], "**"):
				b.WriteString(`.*`)
				i++
			default:
				b.WriteString(`[^/]*`)
			}
		case '?':
			b.WriteString(`[^/]`)
		case '[':
			end := strings.IndexByte(glob[i+1:], ']')
			if end <= 0 {
				return "(" // never closed: refused by the compiler
			}
			class := glob[i+1 : i+1+end]
			i += end + 1
			b.WriteByte('[')
			if class[0] == '!' || class[0] == '^' {
				b.WriteByte('^')
				class = class[1:]
			}
			b.WriteString(strings.NewReplacer(`\`, `\\`, `[`, `\[`).Replace(class))
			b.WriteByte(']')
		case '\\':
			if i++; i == len(glob) {
				return "("
			}
			literal(&b, glob[i])
		default:
			literal(&b, c)
		}
	}
	return b.String()
}

// literal writes one byte of a name; those of a longer character stand as they are.
func literal(b *strings.Builder, c byte) {
	if c < 0x80 {
		b.WriteString(regexp.QuoteMeta(string(rune(c))))
		return
	}
	b.WriteByte(c)
}
