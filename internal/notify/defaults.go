package notify

import "time"

// The numbers of notifications, in one place.
const (
	// firstPause and longestPause are between two tries; giveUpAfter is how long it is tried: a receiver
	// that is down over a weekend still hears of it.
	firstPause   = 5 * time.Second
	longestPause = time.Hour
	giveUpAfter  = 3 * 24 * time.Hour
	// sendMost is how long one try may take; a server that says nothing holds up only its own messages.
	sendMost = 20 * time.Second
	// Settle is how long a condition must last before it is told, and be gone before that is: at each
	// start of the server all agents are away for a moment.
	Settle = 5 * time.Minute
	// KeptFor is how long what was delivered or given up is shown.
	KeptFor = 7 * 24 * time.Hour
	// WaitingMost bounds what waits for one target. What comes beyond it is dropped and said in the log.
	WaitingMost = 10_000
	// answerMost bounds what is read of an answer, answerShown what is kept of it.
	answerMost, answerShown = 4 << 10, 300
	// subjectMost and bodyMost bound what templates make, in bytes.
	subjectMost, bodyMost = 200, 64 << 10
)

// Pause is how long to wait after so many tries went wrong; false: it is given up. draw is a random
// number in [0, 1): receivers that come back are not asked by everybody at once.
func Pause(tries int, age time.Duration, draw float64) (time.Duration, bool) {
	if age >= giveUpAfter {
		return 0, false
	}
	d := longestPause
	if n := tries - 1; n < 20 {
		d = min(d, firstPause<<max(n, 0))
	}
	return time.Duration(float64(d) * (0.5 + draw/2)), true
}

// The limits of alarms about what did not happen. After how many days without a point a computer
// is unprotected is a setting, unprotected_days; a repository's proof_days is its own.
const (
	// OverdueAfter is how long after its moment a job may begin: it may wait for others.
	OverdueAfter = 2 * time.Hour
	// FillingPercent is a level, FillingDays how soon it must not be full by its growth.
	FillingPercent, FillingDays = 90, 14
	// GrowthDays is over how many days growth is measured, GrowthLeast over how many at the least: one
	// first full backup is no trend.
	GrowthDays, GrowthLeast = 30, 3
	// CertificateDays is how long before its end a certificate is told of.
	CertificateDays = 60
)
