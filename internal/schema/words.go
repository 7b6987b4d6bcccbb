package schema

import (
	"regexp"
	"slices"
	"strings"
)

var sentence = regexp.MustCompile(`(?:^|[.:;)] )([a-z0-9_]+(?:, [a-z0-9_]+)*): `)

// Explain takes apart the comment of a message: our messages of one line explain their fields in it, as in
// "role, name: of whoever joins". rest is what is said of the message as a whole.
func Explain(comment string, fields []string) (rest string, of map[string]string) {
	of = map[string]string{}
	var names []string
	take := func(text string) {
		text = strings.TrimSpace(text)
		if names == nil {
			rest = text
		}
		for _, n := range names {
			of[n] = strings.TrimSpace(of[n] + " " + text)
		}
	}
	for {
		at := next(comment, fields)
		if at == nil {
			take(comment)
			return rest, of
		}
		take(comment[:at[2]])
		names = strings.Split(comment[at[2]:at[3]], ", ")
		comment = comment[at[1]:]
	}
}

// next is the first place in which a sentence begins with fields that there are.
func next(text string, fields []string) []int {
	for from := 0; ; {
		at := sentence.FindStringSubmatchIndex(text[from:])
		if at == nil {
			return nil
		}
		for i := range at {
			at[i] += from
		}
		known := true
		for _, n := range strings.Split(text[at[2]:at[3]], ", ") {
			known = known && slices.Contains(fields, n)
		}
		if known {
			return at
		}
		from = at[3]
	}
}
