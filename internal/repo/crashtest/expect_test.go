package crashtest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"keepward/internal/repo/point"
)

// states is a set of what may be found; several, where a crash came between the beginning of
// an act and its acknowledgment.
type states uint8

const (
	absent states = 1 << iota // nothing stands under the point's name
	there                     // a point
	fenced                    // a tombstone
)

func (s states) String() string {
	text := ""
	for bit, name := range map[states]string{absent: "absent", there: "there", fenced: "fenced"} {
		if s&bit != 0 {
			text += " " + name
		}
	}
	return text
}

// choice is whether a marker is set: no, yes, or one of them.
type choice uint8

const (
	no choice = 1 << iota
	yes
)

func (c choice) String() string {
	return map[choice]string{no: "no", yes: "yes", no | yes: "either"}[c]
}

// want is what may be found of one attempt.
type want struct {
	computer string
	files    map[string]string
	kind     point.Type
	point    states
	deleted  choice
	held     choice
	// purging: somebody began to purge it.
	purging bool
	// hurt: files may be missing in it, but none is wrong.
	hurt bool
}

// expectation is what may be found in a repository.
type expectation struct {
	created choice
	hurt    bool // something was damaged, and nobody has healed it
	punches bool // sweeps have the keys to take dead members out of bundles
	wants   map[point.Attempt]want
}

// event changes what may be found, once so many calls were made.
type event struct {
	calls int
	apply func(*expectation)
}

// expect is what may be found when the processes died after so many calls.
func expect(log []event, calls int) expectation {
	e := expectation{created: no, wants: map[point.Attempt]want{}}
	for _, ev := range log {
		if ev.calls <= calls {
			ev.apply(&e)
		}
	}
	return e
}

func (e expectation) clone() expectation {
	e.wants = maps.Clone(e.wants)
	return e
}

// attempts are all of which something may be found, in order.
func (e expectation) attempts() []point.Attempt {
	return slices.SortedFunc(maps.Keys(e.wants), func(a, b point.Attempt) int { return bytes.Compare(a[:], b[:]) })
}

// set changes what may be found of an attempt.
func (e *expectation) set(a point.Attempt, change func(*want)) {
	w := e.wants[a]
	change(&w)
	e.wants[a] = w
}

// lossError is a point that was acknowledged and is not there, or one that is there and
// should not be.
type lossError struct {
	attempt point.Attempt
	text    string
}

func (l *lossError) Error() string { return fmt.Sprintf("point %s: %s", l.attempt, l.text) }

func loss(a point.Attempt, format string, args ...any) error {
	return &lossError{a, fmt.Sprintf(format, args...)}
}
