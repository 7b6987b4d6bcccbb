package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Breaks says what of before does not hold in now, in words. What now has besides breaks nothing.
//
// A field or the value of an enum may go if its number and its name are reserved: then nobody gives them
// another meaning, and those who still send it are not misunderstood. Nothing else may go or change.
func Breaks(before, now Schema) (breaks []string) {
	for _, key := range slices.Sorted(maps.Keys(before)) {
		kind, rest, _ := strings.Cut(key, " ")
		of, what, _ := strings.Cut(rest, " ")
		was := before[key]
		is, there := now[key]
		switch {
		case there && is != was:
			breaks = append(breaks, fmt.Sprintf("%s: was %q, is %q", key, was, is))
		case there:
		case kind == "field" || kind == "value":
			if _, whole := now[parent(kind)+" "+of]; !whole {
				continue // which is said of what it was in
			}
			if name := lastName(was); !now.reserved(of, what) || !now.reserved(of, fmt.Sprintf("%q", name)) {
				breaks = append(breaks, fmt.Sprintf("%s: %q is gone, and its number and name are not both reserved", key, was))
			}
		case kind == "rpc":
			if _, whole := now["service "+rest[:strings.IndexByte(rest, '/')]]; whole {
				breaks = append(breaks, key+": is gone")
			}
		case kind == "reserved":
			_, message := now["message "+of]
			_, enum := now["enum "+of]
			if (message || enum) && !now.reserved(of, what) {
				breaks = append(breaks, key+": is not reserved any more")
			}
		default:
			breaks = append(breaks, key+": is gone")
		}
	}
	return breaks
}

func parent(kind string) string {
	if kind == "value" {
		return "enum"
	}
	return "message"
}

// lastName is the name of the field or value that a line tells of: "repeated string names of choice".
func lastName(value string) string {
	value, _, _ = strings.Cut(value, " of ")
	return value[strings.LastIndexByte(value, ' ')+1:]
}

// reserved tells whether a number, a range of numbers or a quoted name of a message or enum is reserved.
func (s Schema) reserved(of, what string) bool {
	if _, ok := s["reserved "+of+" "+what]; ok || strings.HasPrefix(what, `"`) {
		return ok
	}
	from, to, ok := numbers(what)
	for key := range s {
		if r, of := strings.CutPrefix(key, "reserved "+of+" "); of {
			if least, most, is := numbers(r); is && ok && least <= from && to <= most {
				return true
			}
		}
	}
	return false
}

// numbers reads "3..5", or "3" for "3..3".
func numbers(s string) (from, to int64, ok bool) {
	if n, _ := fmt.Sscanf(s, "%d..%d", &from, &to); n == 2 {
		return from, to, true
	}
	n, _ := fmt.Sscanf(s, "%d", &from)
	return from, from, n == 1
}
