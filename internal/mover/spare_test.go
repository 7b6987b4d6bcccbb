package mover

import (
	"testing"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/wire"
)

func TestABackupOfItsOwnHostLetsOtherWorkGoFirst(t *testing.T) {
	for _, c := range []struct {
		what  string
		start *keepwardv1.StartMoverRequest
		local bool
		want  bool
	}{
		{"a backup of this host", &keepwardv1.StartMoverRequest{Mode: ModeBackup}, true, true},
		{"one of another host", &keepwardv1.StartMoverRequest{Mode: ModeBackup}, false, false},
		{"one at full speed", &keepwardv1.StartMoverRequest{Mode: ModeBackup, FullSpeed: true}, true, false},
		{"a restore, for which somebody waits", &keepwardv1.StartMoverRequest{Mode: ModeRestore}, true, false},
	} {
		o := &order{MoverOrder: &keepwardv1.MoverOrder{Start: c.start}}
		if got := o.spares(wire.Arrival{Local: c.local}); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
}
