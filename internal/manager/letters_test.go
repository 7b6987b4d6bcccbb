package manager

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// pair starts a session of two computers and answers their attempts.
func (w *world) pair() (id int64, web1, web2 string) {
	w.t.Helper()
	w.setJob(theJobOf("web1", "web2"))
	w.connect()
	id = w.run()
	return id, w.agents["web1"].only(w.t), w.agents["web2"].only(w.t)
}

func TestAHeartbeatRenewsTheReservationOfItsOwnTaskAlone(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		_, web1, _ := w.pair()
		expires := func() map[string]time.Time {
			out := map[string]time.Time{}
			for _, g := range w.m.broker.Snapshot().Grants {
				name, _ := g.Holding("client")
				out[name] = g.Expires
			}
			return out
		}
		before := expires()
		time.Sleep(time.Second)
		w.beat(agentOf("web1"), w.agents["web1"].boot(), []string{web1})
		after := expires()
		if !after["web1"].After(before["web1"]) {
			t.Errorf("the lease of web1 ends at %s, as before its heartbeat", after["web1"])
		}
		if !after["web2"].Equal(before["web2"]) {
			t.Errorf("the heartbeat of web1 moved the end of the lease of web2 from %s to %s", before["web2"], after["web2"])
		}
	})
}

func TestLinesThatCouldNotBeKeptAreNotAnswered(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		_, web1, _ := w.pair()
		line := &keepwardv1.Event{Time: timestamppb.Now(), Level: levelWarning, Code: "file.changed", Text: "it changed"}
		report := func() error {
			defer synctest.Wait()
			return w.m.Events(t.Context(), agentOf("web1"), web1, []*keepwardv1.Event{line})
		}
		w.must(report())
		exec := func(statement string) {
			w.write(func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, statement)
				return err
			})
		}
		exec(`ALTER TABLE events RENAME TO elsewhere`)
		if err := report(); err == nil { // whether it is there already cannot be read
			t.Error("the agent was told that its lines are kept, and they are not")
		}
		exec(`ALTER TABLE elsewhere RENAME TO events`)
		w.must(report())
	})
}
