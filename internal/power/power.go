// Package power tells how a computer is supplied: whether it runs on a battery, how much of that is
// left, and whether its network is paid for by what goes through it.
//
// What cannot be found out counts as mains and as free: rules about batteries are for computers that
// have one.
package power

// State is how a computer is supplied at a moment.
type State struct {
	// Battery: it runs on one.
	Battery bool
	// Charge of its batteries together in percent; 0 where they do not tell.
	Charge int
	// Metered: its network is.
	Metered bool
}
