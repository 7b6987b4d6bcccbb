package source

import (
	"bytes"
	"errors"
	"strings"

	"keepward/internal/errs"
)

// Matcher tells which files patterns mean. How they are read is in docs/user/filters.md. It is
// immutable and may be shared.
type Matcher struct {
	rules []rule
	// needPath: some rule looks at more than the last component.
	needPath bool
}

type rule struct {
	negate  bool
	dirOnly bool
	kind    ruleKind
	text    []byte   // literal, suffix: what to compare with
	parts   [][]byte // path: the components, "**" among them
	source  string   // as it was written
}

type ruleKind uint8

const (
	ruleLiteral ruleKind = iota // the name is text
	ruleSuffix                  // the name ends with text
	ruleName                    // the name matches the glob text
	rulePath                    // the whole path matches parts
)

// NewMatcher reads patterns; a later one overrides an earlier one.
func NewMatcher(patterns []string) (*Matcher, error) {
	m := &Matcher{}
	for _, p := range patterns {
		r, ok, err := parseRule(p)
		if err != nil {
			return nil, errs.New(errs.Invalid, "exclude.pattern", "read exclude pattern %q: %w", p, err)
		}
		if ok {
			m.add(r)
		}
	}
	return m, nil
}

func (m *Matcher) add(r rule) {
	m.rules = append(m.rules, r)
	m.needPath = m.needPath || r.kind == rulePath
}

var errNamesNothing = errors.New("it names nothing")

// parseRule reads a pattern; ok: it means something.
func parseRule(p string) (r rule, ok bool, err error) {
	r.source = p
	text := trimSpaces(p)
	if text == "" || text[0] == '#' {
		return r, false, nil
	}
	if text[0] == '!' {
		r.negate, text = true, text[1:]
	}
	text = fromNative(text)
	if strings.HasSuffix(text, "/") {
		r.dirOnly = true
		text = strings.TrimRight(text, "/")
	}
	if text == "" {
		return r, false, errNamesNothing
	}
	if err := checkGlob(text); err != nil {
		return r, false, err
	}
	if strings.Contains(text, "/") {
		r.kind, r.parts = rulePath, pathParts(text)
		return r, true, nil
	}
	r.kind, r.text = ruleName, []byte(text)
	switch rest := strings.TrimPrefix(text, "*"); {
	case !strings.ContainsAny(text, `*?[\`):
		r.kind = ruleLiteral
	case len(rest) == len(text)-1 && !strings.ContainsAny(rest, `*?[\`):
		r.kind, r.text = ruleSuffix, []byte(rest)
	}
	return r, true, nil
}

// trimSpaces cuts trailing blanks unless escaped, as gitignore does.
func trimSpaces(p string) string {
	t := strings.TrimRight(p, " \t\r\n")
	if strings.HasSuffix(t, `\`) && len(t) < len(p) && (len(t)-len(strings.TrimRight(t, `\`)))%2 == 1 {
		t += p[len(t) : len(t)+1]
	}
	return t
}

// pathParts splits a pattern with a slash. One that does not begin with a slash may begin in
// any directory.
func pathParts(text string) [][]byte {
	var parts [][]byte
	if !strings.HasPrefix(text, "/") {
		parts = append(parts, []byte("**"))
	}
	for c := range strings.SplitSeq(text, "/") {
		// A doubled slash, or a doubled "**", means no more than one.
		if c == "" || c == "**" && len(parts) > 0 && string(parts[len(parts)-1]) == "**" {
			continue
		}
		parts = append(parts, []byte(c))
	}
	return parts
}

// Matches tells whether the patterns mean the file path (as Item.Path); dir: it is a directory.
func (m *Matcher) Matches(path []byte, dir bool) bool {
	i := m.last(path, dir)
	return i >= 0 && !m.rules[i].negate
}

// last is the last rule that matches, which decides; -1: there is none.
func (m *Matcher) last(path []byte, dir bool) int {
	name := path[nameStart(path):]
	for i := len(m.rules) - 1; i >= 0; i-- {
		if r := &m.rules[i]; (!r.dirOnly || dir) && r.match(path, name) {
			return i
		}
	}
	return -1
}

func (r *rule) match(path, name []byte) bool {
	switch r.kind {
	case ruleLiteral:
		return bytes.Equal(name, r.text)
	case ruleSuffix:
		return bytes.HasSuffix(name, r.text)
	case ruleName:
		return globMatch(r.text, name)
	}
	return matchParts(r.parts, path)
}

// matchParts matches components. Like globMatch it goes back to the last "**" only, which is
// enough, because a later "**" can match whatever an earlier one could leave it.
func matchParts(parts [][]byte, path []byte) bool {
	var backParts [][]byte
	var backPath []byte
	marked := false
	for {
		switch {
		case len(parts) > 0 && string(parts[0]) == "**":
			if parts = parts[1:]; len(parts) == 0 {
				return len(path) > 0 // "a/**" is what is inside a, not a itself
			}
			marked, backParts, backPath = true, parts, path
			continue
		case len(parts) > 0 && len(path) > 0:
			if first, rest := cutComponent(path); globMatch(parts[0], first) {
				parts, path = parts[1:], rest
				continue
			}
		case len(parts) == 0 && len(path) == 0:
			return true
		}
		if !marked || len(backPath) == 0 {
			return false
		}
		_, backPath = cutComponent(backPath)
		parts, path = backParts, backPath
	}
}

func cutComponent(path []byte) (first, rest []byte) {
	if i := bytes.IndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return path, nil
}
