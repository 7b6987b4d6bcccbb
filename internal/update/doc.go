// Package update is how an agent becomes another version of itself: what a package is and who
// vouches for it, how it reaches the computer, and how the new version has to prove itself before
// it takes the place of the old one.
//
// The old version never gives its place away on trust. It starts the new one as its child, with
// the same arguments and the same data, and only when the server has answered that child does the
// new file take the old one's name. Until then whatever starts the agent starts the old one: a
// broken version cannot prevent its own removal.
//
// It does not know what an agent does, nor when an update may begin. Updater may be used by any
// number of goroutines; everything else by one at a time.
package update
