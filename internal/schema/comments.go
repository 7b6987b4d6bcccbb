package schema

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// pieces are the parts of a proto file that say something.
var pieces = regexp.MustCompile(`//[^\n]*|"(?:\\.|[^"\\])*"|[A-Za-z0-9_.]+|[^\s]`)

// Comments is what a proto file says of what it declares, by full name: descriptors that are linked into a
// program have lost it. It reads files that protoc has accepted, and of them what ours use: comments of
// whole lines above a declaration, or behind it on its line. Fields that share a line share what is above it.
func Comments(source []byte) (map[string]string, error) {
	r := reader{words: map[string]string{}}
	line, seen := 1, 0
	for _, at := range pieces.FindAllIndex(source, -1) {
		line += bytes.Count(source[seen:at[0]], []byte("\n"))
		seen = at[0]
		if err := r.piece(string(source[at[0]:at[1]]), line); err != nil {
			return nil, fmt.Errorf("read comments: line %d: %w", line, err)
		}
	}
	if len(r.open) > 0 {
		return nil, fmt.Errorf("read comments: %s is open at the end", r.open[len(r.open)-1].name)
	}
	return r.words, nil
}

// block is what is open: a message, an enum, a service, a oneof, or what needs no name.
type block struct{ kind, name string }

type reader struct {
	words map[string]string
	pack  string
	open  []block

	statement []string // its pieces so far
	begun     int      // its first line
	above     []string // lines of comment, and where they end
	aboveEnd  int
	last      string // what was declared last, and where that ended
	lastEnd   int
	shared    string // what stood above the fields of a line
	sharedAt  int
}

func (r *reader) piece(p string, line int) error {
	if comment, ok := strings.CutPrefix(p, "//"); ok {
		comment = strings.TrimSpace(comment)
		switch {
		case line == r.lastEnd && len(r.statement) == 0:
			if r.last != "" { // else it is behind the end of a block, and of nothing
				r.say(r.last, comment)
			}
		case line == r.aboveEnd+1:
			r.above, r.aboveEnd = append(r.above, comment), line
		default:
			r.above, r.aboveEnd = []string{comment}, line
		}
		return nil
	}
	if p != ";" && p != "{" && p != "}" {
		if len(r.statement) == 0 {
			r.begun = line
		}
		r.statement = append(r.statement, p)
		return nil
	}
	if p == "}" {
		if len(r.open) == 0 || len(r.statement) > 0 {
			return fmt.Errorf("a block ends that has not begun, behind %q", r.statement)
		}
		r.open, r.last, r.lastEnd = r.open[:len(r.open)-1], "", line
		return nil
	}
	kind, name := r.declared()
	if p == "{" {
		r.open = append(r.open, block{kind, name})
	}
	r.statement, r.last, r.lastEnd = nil, name, line
	if name == "" {
		return nil
	}
	switch {
	case r.aboveEnd == r.begun-1:
		text := strings.Join(r.above, " ")
		r.say(name, text)
		if r.above, r.aboveEnd = nil, 0; kind == "field" {
			r.shared, r.sharedAt = text, r.begun
		}
	case kind == "field" && r.sharedAt == r.begun:
		r.say(name, r.shared)
	}
	return nil
}

func (r *reader) say(name, text string) {
	r.words[name] = strings.TrimSpace(r.words[name] + " " + text)
}

// declared is what the statement declares, by its full name; none: nothing of ours.
func (r *reader) declared() (kind, name string) {
	within := block{}
	if len(r.open) > 0 {
		within = r.open[len(r.open)-1]
	}
	prefix := r.pack
	for _, b := range r.open {
		if b.kind != "oneof" {
			prefix = b.name
		}
	}
	s := r.statement
	if len(s) < 2 {
		return "", ""
	}
	switch s[0] {
	case "package":
		r.pack = s[1]
		return "", ""
	case "syntax", "import", "option", "reserved", "extensions":
		return "", ""
	case "message", "enum", "service", "oneof", "rpc":
		if s[0] != "message" || len(s) == 2 { // a field may have the type "message"
			return s[0], prefix + "." + s[1]
		}
	}
	for i, p := range s {
		if p == "=" && i > 0 && (within.kind == "message" || within.kind == "oneof" || within.kind == "enum") {
			return "field", prefix + "." + s[i-1]
		}
	}
	return "", ""
}
