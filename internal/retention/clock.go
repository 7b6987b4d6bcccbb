package retention

import "time"

// JumpMost is how far the clock may be off what was expected. A day more or less deletes little
// that another day would not have; a wrong year would delete nearly everything.
const JumpMost = 24 * time.Hour

// Reading is what the clocks of a host say at one moment.
type Reading struct {
	// Wall is the time of day as the system has it.
	Wall time.Time
	// Up is a clock that nobody sets and that counts sleep, within one start of the host; Boot
	// names that start. Boot is empty where there is no such clock.
	Up   time.Duration
	Boot string
}

// Jump is how far the clock is now off what was expected from the last reading that was
// believed: positive when it is ahead. Where no clock tells how long it was, as after a start of
// the host, any time since may have passed, up to a day: more is counted as a jump, since a
// wrong clock and a long silence look alike.
func Jump(last, now Reading) time.Duration {
	off := now.Wall.Round(0).Sub(last.Wall.Round(0))
	if now.Boot != "" && now.Boot == last.Boot {
		off -= now.Up - last.Up
	}
	return off
}

// Doubtful tells whether a jump is too far to delete anything by this clock.
func Doubtful(jump time.Duration) bool { return jump.Abs() > JumpMost }
