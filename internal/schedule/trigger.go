package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what a schedule goes by.
type Kind string

// The kinds. Only a calendar has moments of its own; the others begin when something happens,
// which who knows of it must say.
const (
	Calendar     Kind = "calendar"
	AfterJob     Kind = "after job"    // when a session of another job is over
	Continuously Kind = "continuously" // when its own last session is over
	WhenOnline   Kind = "when online"  // when a computer comes online
)

const (
	// pauseNormal lies between two sessions of a continuous job: one that fails at once would
	// else fill the history.
	pauseNormal = time.Minute
	// onlineNormal is how often a computer that comes and goes is backed up at most.
	onlineNormal = time.Hour
	// gapMost bounds both; what is longer is a calendar's.
	gapMost = 30 * 24 * time.Hour
)

// trigger is a rule that goes by what happens.
type trigger struct {
	kind      Kind
	job       string // AfterJob
	completed bool   // AfterJob: only if the session left a result
	gap       time.Duration
	grid      grid // Continuously
}

func (trigger) on(date) bool                                     { return false }
func (trigger) times(date, *time.Location, func(time.Time) bool) {}
func (r trigger) String() string {
	switch r.kind {
	case AfterJob:
		text := "after " + r.job
		if r.completed {
			text += " if completed"
		}
		return text
	case Continuously:
		text := "continuously"
		if r.gap != pauseNormal {
			text += " pause " + distance(r.gap)
		}
		return text + r.grid.String()
	}
	text := "when online"
	if r.gap != onlineNormal {
		text += " at most every " + distance(r.gap)
	}
	return text
}

// parseTrigger reads the rules that go by what happens; false: the words are of another kind.
// The name of a job keeps its case.
func parseTrigger(words []string) (rule, bool, error) {
	rest := words[1:]
	switch strings.ToLower(words[0]) {
	case "after":
		r, err := parseAfter(rest)
		return r, true, err
	case "continuously":
		r, err := parseContinuously(lower(rest))
		return r, true, err
	case "when":
		r, err := parseOnline(lower(rest))
		return r, true, err
	}
	return nil, false, nil
}

func lower(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = strings.ToLower(w)
	}
	return out
}

func parseAfter(words []string) (rule, error) {
	switch {
	case len(words) == 1:
		return trigger{kind: AfterJob, job: words[0]}, nil
	case len(words) == 3 && strings.EqualFold(words[1], "if") && strings.EqualFold(words[2], "completed"):
		return trigger{kind: AfterJob, job: words[0], completed: true}, nil
	}
	return nil, fmt.Errorf("after wants the name of a job; write for instance %s", quoted("after docs", "after docs if completed"))
}

func parseContinuously(words []string) (rule, error) {
	r := trigger{kind: Continuously, gap: pauseNormal}
	if len(words) > 1 && words[0] == "pause" {
		gap, err := parseGap(words[1])
		if err != nil {
			return nil, err
		}
		r.gap, words = gap, words[2:]
	}
	g, err := parseGrid(words)
	r.grid = g
	return r, err
}

func parseOnline(words []string) (rule, error) {
	r := trigger{kind: WhenOnline, gap: onlineNormal}
	switch {
	case len(words) == 1 && words[0] == "online":
		return r, nil
	case len(words) == 5 && strings.Join(words[:4], " ") == "online at most every":
		gap, err := parseGap(words[4])
		r.gap = gap
		return r, err
	}
	return nil, fmt.Errorf("when wants online; write for instance %s", quoted("when online", "when online at most every 4h"))
}

func parseGap(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < shortest || d > gapMost || d%time.Minute != 0 {
		return 0, fmt.Errorf("%q is no time of whole minutes from 1m to 720h; write for instance %s", text, quoted("5m", "4h"))
	}
	return d, nil
}

// distance is a time of whole minutes as parseGap reads it.
func distance(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// Kind is what the schedule goes by; empty for the zero Schedule.
func (s Schedule) Kind() Kind {
	switch r := s.rule.(type) {
	case nil:
		return ""
	case trigger:
		return r.kind
	}
	return Calendar
}

// After is the job whose sessions an AfterJob waits for, and whether only those count that left
// a result.
func (s Schedule) After() (job string, completed bool) {
	r, _ := s.rule.(trigger)
	return r.job, r.completed
}

// Gap is the shortest time from the end of a session to the next of a continuous job, and from
// the start of one to the next where a computer comes online.
func (s Schedule) Gap() time.Duration {
	r, _ := s.rule.(trigger)
	return r.gap
}

// Allowed is the first moment at or after t at which a continuous job may begin.
func (s Schedule) Allowed(t time.Time) (time.Time, bool) {
	r, ok := s.rule.(trigger)
	if !ok {
		return time.Time{}, false
	}
	return r.grid.from(t.In(s.zone))
}

// PerComputer tells whether the hours are those of each computer's own zone.
func (s Schedule) PerComputer() bool { return s.computer }

// In is the schedule with its hours meant in zone, if they are those of each computer's own.
func (s Schedule) In(zone *time.Location) Schedule {
	if s.computer && zone != nil {
		s.zone = zone
	}
	return s
}

// Circle follows the jobs that start after others from one of them, and answers the names of the
// circle that it leads into, the first one again at the end; nil: there is none. after names the
// job that each one follows.
func Circle(after map[string]string, start string) []string {
	seen := map[string]int{}
	var path []string
	for name := start; name != ""; name = after[name] {
		if i, ok := seen[name]; ok {
			return append(path[i:], name)
		}
		seen[name], path = len(path), append(path, name)
	}
	return nil
}
