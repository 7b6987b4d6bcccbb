package history_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/history"
)

func percent(n int) *int { return &n }

func TestRunsAreSummedUp(t *testing.T) {
	run := func(seconds, read, sent, stored int64) history.Run {
		return history.Run{Took: time.Duration(seconds) * time.Second, Read: read, Sent: sent, Stored: stored}
	}
	for _, tt := range []struct {
		name string
		runs []history.Run
		want history.Summary
	}{
		{"none", nil, history.Summary{}},
		{"one", []history.Run{run(10, 1000, 100, 50)}, history.Summary{
			Millis: history.Figure{Runs: 1, Last: 10000, Least: 10000, Mean: 10000, Most: 10000}, Read: history.Figure{Runs: 1, Last: 1000, Least: 1000, Mean: 1000, Most: 1000},
			Sent: history.Figure{Runs: 1, Last: 100, Least: 100, Mean: 100, Most: 100}, Stored: history.Figure{Runs: 1, Last: 50, Least: 50, Mean: 50, Most: 50},
			PerSecond: history.Figure{Runs: 1, Last: 100, Least: 100, Mean: 100, Most: 100},
		}},
		{"what reads nothing has no rate", []history.Run{run(0, 0, 0, 0), run(4, 400, 0, 0)}, history.Summary{
			Millis: history.Figure{Runs: 2, Least: 0, Mean: 2000, Most: 4000}, Read: history.Figure{Runs: 2, Mean: 200, Most: 400},
			Sent: history.Figure{Runs: 2}, Stored: history.Figure{Runs: 2}, PerSecond: history.Figure{Runs: 1, Last: 100, Least: 100, Mean: 100, Most: 100},
		}},
		{"it grows", []history.Run{run(30, 0, 0, 0), run(20, 0, 0, 0), run(99, 0, 0, 0), run(10, 0, 0, 0), run(10, 0, 0, 0)}, history.Summary{
			Millis: history.Figure{Runs: 5, Last: 30000, Least: 10000, Mean: 33_800, Most: 99000, Trend: percent(150)},
			Read:   history.Figure{Runs: 5}, Sent: history.Figure{Runs: 5}, Stored: history.Figure{Runs: 5},
		}},
		{"it shrinks", []history.Run{run(5, 0, 0, 1), run(5, 0, 0, 1), run(10, 0, 0, 0), run(10, 0, 0, 0)}, history.Summary{
			Millis: history.Figure{Runs: 4, Last: 5000, Least: 5000, Mean: 7_500, Most: 10000, Trend: percent(-50)},
			Read:   history.Figure{Runs: 4}, Sent: history.Figure{Runs: 4}, Stored: history.Figure{Runs: 4, Last: 1, Mean: 1, Most: 1},
		}},
		{"three tell no trend", []history.Run{run(30, 0, 0, 0), run(20, 0, 0, 0), run(10, 0, 0, 0)}, history.Summary{
			Millis: history.Figure{Runs: 3, Last: 30000, Least: 10000, Mean: 20000, Most: 30000},
			Read:   history.Figure{Runs: 3}, Sent: history.Figure{Runs: 3}, Stored: history.Figure{Runs: 3},
		}},
	} {
		if d := cmp.Diff(tt.want, history.Sum(tt.runs)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
