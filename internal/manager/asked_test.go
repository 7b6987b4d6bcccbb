package manager

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

func TestWhatIsAskedOfSessionsWaitsUntilTheServerKnowsThem(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		early := New(w.m.deps) // as between the opening of the port and the end of the start
		for what, ask := range map[string]func(ctx context.Context) error{
			"kill": func(ctx context.Context) error {
				_, err := early.KillSession(ctx, connect.NewRequest(&keepwardv1.KillSessionRequest{Id: id}))
				return err
			},
			"suspend": func(ctx context.Context) error {
				_, err := early.SuspendSession(ctx, connect.NewRequest(&keepwardv1.SuspendSessionRequest{Id: id}))
				return err
			},
			"resume": func(ctx context.Context) error {
				_, err := early.ResumeSession(ctx, connect.NewRequest(&keepwardv1.ResumeSessionRequest{Id: id}))
				return err
			},
			"priority": func(ctx context.Context) error {
				_, err := early.SetSessionPriority(ctx, connect.NewRequest(&keepwardv1.SetSessionPriorityRequest{Id: id, Priority: 7}))
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := ask(ctx); errs.CodeOf(err) != "server.starting" {
				t.Errorf("%s of a session that the server has yet to take up: %v", what, err)
			}
			cancel()
		}
	})
}
