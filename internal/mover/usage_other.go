//go:build !unix

package mover

import "time"

func usage() (peak int64, cpu time.Duration) { return 0, 0 }
