package mariadb

import (
	"testing"
	"testing/synctest"
	"time"

	"keepward/internal/app"
)

// TestOnlyWhatHoldsACopyIsBounded: what mariadb-backup says, in the order in which it does.
func TestOnlyWhatHoldsACopyIsBounded(t *testing.T) {
	const long = time.Hour
	stages := []string{"Starting BACKUP STAGE START", "Acquiring BACKUP LOCKS...", "Acquired locks for BACKUP STAGE START"}
	for name, c := range map[string]struct {
		before []string // then InnoDB is copied, or not
		after  []string // then it is held
		held   time.Duration
		ended  bool
	}{
		"InnoDB is large":                      {stages, []string{"Finished BACKUP STAGE START", "Started BACKUP STAGE BLOCK_DDL"}, time.Second, false},
		"tables without transactions are":      {stages, []string{"Started BACKUP STAGE BLOCK_DDL", "Acquired locks for BACKUP STAGE BLOCK_DDL"}, app.HoldMost + time.Second, true},
		"commits do not end":                   {stages, []string{"Starting BACKUP STAGE BLOCK_COMMIT"}, app.HoldMost + time.Second, true},
		"one lock for all, and it is short":    {nil, []string{"Acquiring BACKUP LOCKS..."}, time.Second, false},
		"one lock for all, and it is too long": {nil, []string{"Acquiring BACKUP LOCKS..."}, app.HoldMost + time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var cause error
				w := &watch{end: func(err error) { cause = err }}
				for _, line := range c.before {
					w.line("[00] " + line)
				}
				time.Sleep(long)
				for _, line := range c.after {
					w.line("[00] " + line)
				}
				time.Sleep(c.held)
				synctest.Wait()
				for _, line := range []string{"Starting BACKUP STAGE END", "Executing BACKUP STAGE END", "All tables unlocked"} {
					w.line("[00] " + line)
				}
				time.Sleep(long)
				synctest.Wait()
				w.stop()
				if (cause != nil) != c.ended || !c.ended && w.held != c.held {
					t.Errorf("ended by %v after %v, want %v: %v", cause, w.held, c.ended, c.held)
				}
			})
		})
	}
}
