package manager

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/retention"
)

// clockKey is the setting that keeps the last reading of the clock that was believed.
const clockKey = "clock.seen"

// keepClockEvery is how old the reading may get that a start of the server compares with.
const keepClockEvery = 10 * time.Minute

// clockWatch doubts a clock that has jumped: nothing is deleted by it until it is right again, or
// a user has said that it is.
type clockWatch struct {
	read func() retention.Reading

	mu      sync.Mutex
	last    retention.Reading // believed; zero: not read from the catalog yet
	kept    time.Time         // of the reading in the catalog
	doubted time.Time         // since when; zero: it is not
	jump    time.Duration
}

// checkClock looks at the clock, and answers how far it has jumped if that is too far.
func (m *Manager) checkClock(ctx context.Context) (time.Duration, error) {
	c := m.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.read()
	if c.last.Wall.IsZero() {
		last, err := m.keptClock(ctx)
		if err != nil {
			return 0, err
		}
		if last.Wall.IsZero() {
			last = now // the first start
		}
		c.last = last
	}
	jump := retention.Jump(c.last, now)
	if retention.Doubtful(jump) {
		if c.doubted.IsZero() {
			c.doubted = now.Wall
			m.log.Error("the clock has jumped: nothing is deleted by it", "jump", jump, "now", now.Wall)
		}
		c.jump = jump
		return jump, nil
	}
	if !c.doubted.IsZero() {
		m.log.Info("the clock is right again")
	}
	c.last, c.doubted, c.jump = now, time.Time{}, 0
	if now.Wall.Sub(c.kept).Abs() >= keepClockEvery {
		m.keepClock(ctx, now)
	}
	return 0, nil
}

func (m *Manager) keptClock(ctx context.Context) (r retention.Reading, err error) {
	v, err := catalog.Setting(ctx, m.deps.DB.Read(), clockKey)
	if err != nil || v == nil {
		return r, err
	}
	if err := json.Unmarshal(v, &r); err != nil {
		return r, errs.New(errs.Corrupt, "catalog.clock", "read the last time of the clock: %w", err)
	}
	return r, nil
}

// keepClock writes a reading down; c.mu must be held.
func (m *Manager) keepClock(ctx context.Context, r retention.Reading) {
	v, err := json.Marshal(r)
	if err == nil {
		err = m.deps.DB.Write(ctx, func(tx *sql.Tx) error { return catalog.SetSetting(ctx, tx, clockKey, v) })
	}
	if err != nil {
		if ctx.Err() == nil {
			m.log.Error("time of the clock not kept", "error", err)
		}
		return
	}
	m.clock.kept = r.Wall
}

// ResumeRetention takes the server's clock as right, and answers how far it had jumped; 0: it
// had not.
func (m *Manager) ResumeRetention(ctx context.Context) (time.Duration, error) {
	jump, err := m.checkClock(ctx)
	if err != nil || jump == 0 {
		return 0, err
	}
	c := m.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.doubted, c.jump = c.read(), time.Time{}, 0
	m.keepClock(ctx, c.last)
	return jump, nil
}

// Conditions are the lasting problems that the manager knows of.
func (m *Manager) Conditions() []*keepwardv1.Condition {
	return slices.Concat(m.failing.conditions(), m.clockConditions(), m.queueConditions(), m.unissuedConditions())
}

func (m *Manager) clockConditions() []*keepwardv1.Condition {
	c := m.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.doubted.IsZero() {
		return nil
	}
	return []*keepwardv1.Condition{{
		Code: "clock.jumped", Severity: "error", Subject: "server",
		Text: fmt.Sprintf("the server's clock is %s off what was expected: retention and purge are paused", signed(c.jump)),
		Hint: "set the clock; or, if it is right (the server was off for long), say so with: keepward job retention resume", Since: timestamppb.New(c.doubted),
	}}
}

// signed is a long time with its direction, in days and hours.
func signed(d time.Duration) string {
	sign := "+"
	if d < 0 {
		sign = "-"
	}
	h := int(d.Abs() / time.Hour)
	return fmt.Sprintf("%s%d days %d hours", sign, h/24, h%24)
}
