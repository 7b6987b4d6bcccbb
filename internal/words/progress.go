package words

import (
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// Through is how many bytes have been gone through: those of files that are done, or, where files
// are large and none is for a while, what was read or found unchanged.
func Through(n *keepwardv1.Counters) int64 {
	return max(n.GetDoneBytes(), min(n.GetReadBytes()+n.GetReusedBytes(), n.GetTotalBytes()))
}

// Percent is how far a session is; false where nobody can tell, or it is over.
func Percent(s *keepwardv1.Session) (int, bool) {
	n := s.GetProgress().GetCounters()
	if s.GetEnded() != nil || n.GetTotalBytes() <= 0 || n.GetDoneBytes() > n.GetTotalBytes() {
		return 0, false
	}
	return int(float64(Through(n)) / float64(n.GetTotalBytes()) * 100), true
}

// Rate is bytes per second over the last moments: long enough to be calm, short enough to be
// true.
type Rate struct{ samples []sample }

type sample struct {
	at    time.Time
	bytes int64
}

const rateWindow = 10 * time.Second

// Add takes how many bytes there were at a moment.
func (r *Rate) Add(at time.Time, bytes int64) {
	if n := len(r.samples); n > 0 && bytes < r.samples[n-1].bytes {
		r.samples = r.samples[:0] // a new attempt counts anew
	}
	r.samples = append(r.samples, sample{at, bytes})
	for len(r.samples) > 2 && at.Sub(r.samples[0].at) > rateWindow {
		r.samples = r.samples[1:]
	}
}

// PerSecond is the rate; 0 while nobody can tell.
func (r *Rate) PerSecond() int64 {
	if len(r.samples) < 2 {
		return 0
	}
	first, last := r.samples[0], r.samples[len(r.samples)-1]
	d := last.at.Sub(first.at)
	if d < time.Second {
		return 0
	}
	return int64(float64(last.bytes-first.bytes) / d.Seconds())
}
