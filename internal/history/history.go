// Package history says how the runs of a job went, from their measures: what is usual, and
// whether it changes.
//
// It only counts: it reads no session and knows no job. Its functions have no state and may be
// called from any goroutine.
package history

import (
	"math"
	"time"
)

// Run is one run that left a result.
type Run struct {
	Took               time.Duration
	Read, Sent, Stored int64
}

// Summary is what runs have in common.
type Summary struct {
	Millis, Read, Sent, Stored Figure
	// PerSecond is bytes read a second, of the runs that read something.
	PerSecond Figure
}

// Figure sums up one measure.
type Figure struct {
	Runs                    int
	Last, Least, Mean, Most int64
	// Trend is by how many percent the mean of the newer half differs from that of the older one;
	// nil: there are too few runs, or the older ones measured nothing.
	Trend *int
}

// trendRuns is the least number of runs of which a trend is told: two in each half, so that one
// odd night is not taken for a direction.
const trendRuns = 4

// Sum sums runs up, the newest first.
func Sum(runs []Run) Summary {
	var s Summary
	var millis, read, sent, stored, rate []int64
	for _, r := range runs {
		millis = append(millis, r.Took.Milliseconds())
		read, sent, stored = append(read, r.Read), append(sent, r.Sent), append(stored, r.Stored)
		if r.Took > 0 && r.Read > 0 {
			rate = append(rate, int64(float64(r.Read)/r.Took.Seconds()))
		}
	}
	s.Millis, s.Read, s.Sent, s.Stored, s.PerSecond = sum(millis), sum(read), sum(sent), sum(stored), sum(rate)
	return s
}

func sum(values []int64) Figure {
	f := Figure{Runs: len(values)}
	if len(values) == 0 {
		return f
	}
	f.Last, f.Least, f.Most = values[0], values[0], values[0]
	for _, v := range values {
		f.Least, f.Most = min(f.Least, v), max(f.Most, v)
	}
	f.Mean = int64(math.Round(mean(values)))
	f.Trend = trend(values)
	return f
}

// mean is in floating point: sums of bytes may pass what an integer holds.
func mean(values []int64) float64 {
	total := 0.0
	for _, v := range values {
		total += float64(v)
	}
	return total / float64(len(values))
}

// trend compares the halves; the one in the middle of an odd number is in neither.
func trend(values []int64) *int {
	if len(values) < trendRuns {
		return nil
	}
	half := len(values) / 2
	newer, older := mean(values[:half]), mean(values[len(values)-half:])
	if older == 0 {
		return nil
	}
	percent := math.Round((newer - older) / older * 100)
	t := int(min(percent, math.MaxInt32))
	return &t
}
