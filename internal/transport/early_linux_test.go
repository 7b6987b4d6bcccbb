package transport_test

import (
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/mover"
	"keepward/internal/repo/point"
)

func TestSettlingKeepsTheLastCheckpointWhereThatIsWanted(t *testing.T) {
	h := newHost(t)
	with, without := newAttempt(), newAttempt()
	for a, checkpointed := range map[point.Attempt]bool{with: true, without: false} {
		c := h.connect(a, h.startMover(h.request(a, mover.ModeBackup)))
		d := h.send(c, a, someFiles, text)
		if d.Type = point.Checkpoint; checkpointed {
			must(t, c.Checkpoint(t.Context(), d))
		}
		for range 2 { // idempotent
			res, err := h.calls().FenceAttempt(t.Context(), connect.NewRequest(&keepwardv1.FenceAttemptRequest{
				RepositoryPath: h.path, RepositoryId: h.id[:], Order: order(a), Reason: "ended early", Commit: true,
			}))
			must(t, err)
			if res.Msg.GetCommitted() != checkpointed || res.Msg.GetPartial() != checkpointed {
				t.Errorf("settled as committed %v, partial %v; want %v", res.Msg.GetCommitted(), res.Msg.GetPartial(), checkpointed)
			}
		}
		d.Type = point.Complete
		if err := c.Commit(t.Context(), d); err == nil {
			t.Error("the mover could still commit")
		}
		_ = c.Close()
		if res := h.settle(a); res.GetCommitted() != checkpointed || res.GetPartial() != checkpointed {
			t.Errorf("settled once more as committed %v, partial %v", res.GetCommitted(), res.GetPartial())
		}
	}
}
