package retention

import (
	"testing"
	"time"
)

func TestAClockIsDoubtedWhenItJumpsMoreThanADay(t *testing.T) {
	const h = time.Hour
	for _, tt := range []struct {
		name       string
		wall, up   time.Duration
		otherBoot  bool
		wantDoubts bool
	}{
		{"nothing happened", h, h, false, false},
		{"a year of work", 8760 * h, 8760 * h, false, false},
		{"set by an hour", 2 * h, h, false, false},
		{"a year ahead", 8760 * h, h, false, true},
		{"a year back", -8760 * h, h, false, true},
		{"a start after a night", 10 * h, 0, true, false},
		{"a start after a month: a long silence or a wrong clock", 720 * h, 0, true, true},
		{"a start into the past", -48 * h, 0, true, true},
		{"the clock stood still for two days", 0, 48 * h, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			last := Reading{Wall: now, Up: 100 * h, Boot: "one"}
			next := Reading{Wall: now.Add(tt.wall), Up: 100*h + tt.up, Boot: "one"}
			if tt.otherBoot {
				next.Boot, next.Up = "two", 0
			}
			if got := Doubtful(Jump(last, next)); got != tt.wantDoubts {
				t.Errorf("jump %s: doubtful %t", Jump(last, next), got)
			}
		})
	}
}
