package search

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"keepward/internal/errs"
)

// Pattern is a compiled glob. One without a slash is held against the last component of a path, any
// other against the whole path. * and ? stop at a slash, ** does not; [a-z] and [!a-z] are classes,
// \ takes the next character as it is.
type Pattern struct {
	any   bool // everything fits
	whole bool // it is about whole paths
	// name fits the last component, if that is all there is to say of it; nil: any may fit.
	name *namePattern
	// literal stands in the text of each name that fits, with the slashes around it; empty: nothing
	// is known.
	literal []byte
	// prefix is what each whole path that fits begins with.
	prefix []byte
	re     *regexp.Regexp
}

// Compile makes a Pattern; an empty glob fits everything.
func Compile(glob string) (*Pattern, error) {
	if glob == "" || glob == "*" || glob == "**" || glob == "/**" {
		return &Pattern{any: true}, nil
	}
	p := &Pattern{whole: strings.Contains(glob, "/")}
	trimmed := strings.TrimPrefix(glob, "/")
	var err error
	p.re, err = regexp.Compile(`(?s)\A` + globPattern(trimmed) + `\z`)
	if err != nil || trimmed == "" {
		return nil, errs.New(errs.Invalid, "find.glob", "find %q: it is not a glob", glob).
			WithHint("use *, ?, [a-z] and **; put a backslash before one that is meant as it is")
	}
	last := trimmed[strings.LastIndexByte(trimmed, '/')+1:]
	if !strings.Contains(last, "**") && !strings.Contains(trimmed[:len(trimmed)-len(last)], "[") {
		p.name = newNamePattern(last)
		if !strings.ContainsAny(last, `\[`) {
			p.literal = longestLiteral(last)
		}
	}
	if p.whole {
		end := strings.IndexAny(trimmed, `*?[\`)
		if end < 0 {
			end = len(trimmed)
		}
		p.prefix = []byte(trimmed[:end])
		// **/ stands for no directory at all, too.
		if strings.HasPrefix(trimmed[end:], "**/") {
			p.prefix = bytes.TrimSuffix(p.prefix, []byte("/"))
		}
	}
	return p, nil
}

// matchName tells whether a last component may fit, and of a pattern that is about names only,
// whether it does.
func (p *Pattern) matchName(name []byte) bool {
	switch {
	case p.any:
		return true
	case p.name != nil:
		return p.name.match(name)
	case p.whole:
		return true
	}
	return p.re.Match(name)
}

// matchPath tells whether a whole path fits, whose last component may.
func (p *Pattern) matchPath(path []byte) bool {
	return !p.whole || bytes.HasPrefix(path, p.prefix) && p.re.Match(path)
}

// longestLiteral is the longest run without wildcards, with the slashes that stand around a name.
func longestLiteral(glob string) (longest []byte) {
	for _, run := range strings.FieldsFunc("/"+glob+"/", func(r rune) bool { return r == '*' || r == '?' }) {
		if len(run) > len(longest) {
			longest = []byte(run)
		}
	}
	if len(longest) < 2 {
		return nil // a slash stands in every text
	}
	return longest
}

// namePattern matches names against *, ?, classes of ASCII characters, and bytes that mean themselves.
type namePattern struct {
	glob []token
	// least and most bound the length of what can fit; most is negative where there is a *.
	least, most int
}

// token is one element of a glob.
type token struct {
	kind byte // '*', '?', '[', or 0 for the byte itself
	b    byte
	set  *[utf8.RuneSelf]bool
	not  bool // the class takes what is not in set, all that is not ASCII included
}

// newNamePattern reads a glob that has compiled; nil: it has what only the regular expression knows.
func newNamePattern(glob string) *namePattern {
	p := &namePattern{}
	for i := 0; i < len(glob); i++ {
		t := token{}
		switch glob[i] {
		case '*':
			t.kind, p.most = '*', -1
		case '?':
			t.kind = '?'
		case '[':
			end := i + 1 + strings.IndexByte(glob[i+1:], ']')
			if !t.class(glob[i+1 : end]) {
				return nil
			}
			i = end
		case '\\':
			i++
			t.b = glob[i]
		default:
			t.b = glob[i]
		}
		p.glob = append(p.glob, t)
		if t.kind != '*' {
			p.least++
			if p.most >= 0 {
				p.most += utf8.UTFMax
			}
		}
	}
	return p
}

// class reads what stands between brackets; false: not all of it is ASCII.
func (t *token) class(text string) bool {
	t.kind, t.set = '[', new([utf8.RuneSelf]bool)
	if text[0] == '!' || text[0] == '^' {
		t.not, text = true, text[1:]
	}
	for i := 0; i < len(text); i++ {
		from, to := text[i], text[i]
		if i+2 < len(text) && text[i+1] == '-' {
			to = text[i+2]
			i += 2
		}
		if from >= utf8.RuneSelf || to >= utf8.RuneSelf {
			return false
		}
		for c := from; c <= to; c++ {
			t.set[c] = true
		}
	}
	return true
}

// takes is how many bytes of name a token takes that is no *; 0: it does not fit.
func (t *token) takes(name []byte) int {
	c := name[0]
	switch t.kind {
	case 0:
		if c != t.b {
			return 0
		}
		return 1
	case '?':
	default:
		if c < utf8.RuneSelf && t.set[c] == t.not || c >= utf8.RuneSelf && !t.not {
			return 0
		}
	}
	if c < utf8.RuneSelf {
		return 1
	}
	_, size := utf8.DecodeRune(name)
	return size
}

// match goes through both at once; at a difference it goes back to the last * and lets that take
// one byte more.
func (p *namePattern) match(name []byte) bool {
	if len(name) < p.least || p.most >= 0 && len(name) > p.most {
		return false
	}
	g, n := 0, 0
	star, taken := -1, 0
	for n < len(name) {
		if g < len(p.glob) && p.glob[g].kind == '*' {
			star, taken = g, n
			g++
			continue
		}
		if g < len(p.glob) {
			if size := p.glob[g].takes(name[n:]); size > 0 {
				g, n = g+1, n+size
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, size := utf8.DecodeRune(name[taken:])
		taken += size
		g, n = star+1, taken
	}
	for g < len(p.glob) && p.glob[g].kind == '*' {
		g++
	}
	return g == len(p.glob)
}
