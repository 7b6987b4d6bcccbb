package agent

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/gentle"
	"keepward/internal/wire"
)

// An attempt that was cut off may still be at work, held up by a disk. Its successor writes to the
// same files, or reads by the same trail.
func TestAnAttemptBeginsWhenTheOneBeforeItHasEnded(t *testing.T) {
	for name, ends := range map[string]bool{"it ends": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &agent{
					log: slog.New(slog.DiscardHandler), node: localTerm{wire.Credentials{}}, ctx: t.Context(), running: map[string]*attempt{},
					reports: localReports{LocalConfig{End: func(string, *keepwardv1.AttemptEnd) error { return nil }}},
				}
				told, release := make(chan struct{}), make(chan struct{})
				begin := func(id string, run func(ctx context.Context)) error {
					return a.begin(t.Context(), &keepwardv1.Order{Attempt: id, Task: "t"}, nil, gentle.Work{}, func(ctx context.Context) *keepwardv1.AttemptEnd {
						run(ctx)
						return &keepwardv1.AttemptEnd{}
					})
				}
				if err := begin("one", func(ctx context.Context) { <-ctx.Done(); close(told); <-release }); err != nil {
					t.Fatal(err)
				}
				began, answer := make(chan struct{}), make(chan error, 1)
				go func() { answer <- begin("two", func(context.Context) { close(began) }) }()
				synctest.Wait()
				<-told
				select {
				case <-began:
					t.Fatal("two attempts of a task are at work at once")
				default:
				}
				if ends {
					close(release)
					if err := <-answer; err != nil {
						t.Error(err)
					}
					<-began
				} else {
					at := time.Now()
					if err := <-answer; errs.CodeOf(err) != "attempt.earlier" || time.Since(at) > earlierMost {
						t.Errorf("after %s it is refused with %v", time.Since(at), err)
					}
					close(release)
				}
				a.wait()
			})
		})
	}
}
