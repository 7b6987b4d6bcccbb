//go:build !linux

package mover

import "keepward/internal/errs"

// Birth is not known on this system: transport services run on Linux.
func Birth(int) (boot string, started uint64, err error) {
	return "", 0, errs.New(errs.Invalid, "transport.system", "movers cannot run on this system").
		WithHint("run the transport service on Linux")
}
