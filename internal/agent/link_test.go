package agent

import (
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// An answer to a heartbeat that was made before an order, and comes behind it, puts nothing back; nor does
// the order to begin.
func TestWhatTheServerSaidFirstAndComesLastIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &link{}
		takes := func() time.Duration {
			began := time.Now()
			for range 8 {
				l.limit.Wait(nil, 512<<10)
			}
			return time.Since(began)
		}
		l.set(&keepwardv1.Rates{Network: 1 << 20, Number: 5})
		l.set(&keepwardv1.Rates{Network: 1 << 10, Number: 4})
		l.begin(&keepwardv1.Rates{Network: 1 << 10, Number: 3})
		if took := takes(); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("4 MiB at 1 MiB a second took %s", took)
		}
		l.set(&keepwardv1.Rates{Network: 2 << 20, Number: 1<<32 | 1}) // the server was started anew
		if took := takes(); took < 1500*time.Millisecond || took > 2500*time.Millisecond {
			t.Errorf("4 MiB at 2 MiB a second took %s", took)
		}
	})
}
