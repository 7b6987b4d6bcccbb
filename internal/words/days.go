package words

import "strings"

// DayResult is what the backups of a computer came to on a day.
type DayResult struct {
	// Name is it in the API, empty for a day without a backup; Letter in a line of days; Label in words.
	Name, Letter, Label string
}

// DayResults are all, the best first; the last one is that of a day without a backup.
var DayResults = []DayResult{
	{"success", "+", "success"},
	{"warning", "w", "with warnings"},
	{"partial", "p", "not all of it"},
	{"failed", "F", "failed"},
	{"", ".", "no backup"},
}

// DayResultOf is the result of a name; one of a newer server has the letter ? and its name as label.
func DayResultOf(name string) DayResult {
	for _, r := range DayResults {
		if r.Name == name {
			return r
		}
	}
	return DayResult{name, "?", Safe(name)}
}

// DayLetters are days as a letter each, so that a computer is a line.
func DayLetters(names []string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(DayResultOf(name).Letter)
	}
	return b.String()
}
