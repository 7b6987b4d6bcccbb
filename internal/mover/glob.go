package mover

import (
	"bytes"
	"regexp"
	"strings"

	"keepward/internal/errs"
)

// compileGlob makes a test for paths without a leading slash. A glob without a slash is held
// against the last component, any other against the whole path. * and ? stop at a slash,
// ** does not; [a-z] and [!a-z] are classes, \ takes the next character as it is.
func compileGlob(glob string) (func(path []byte) bool, error) {
	whole := strings.Contains(glob, "/")
	re, err := regexp.Compile(`(?s)\A` + globPattern(strings.TrimPrefix(glob, "/")) + `\z`)
	if err != nil || glob == "" {
		return nil, errs.New(errs.Invalid, "find.glob", "find %q: it is not a glob", glob).
			WithHint("use *, ?, [a-z] and **; put a backslash before one that is meant as it is")
	}
	return func(path []byte) bool {
		if !whole {
			path = path[bytes.LastIndexByte(path, '/')+1:]
		}
		return re.Match(path)
	}, nil
}

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
