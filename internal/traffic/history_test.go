package traffic

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestAHistoryHasWhatMovedSlotBySlot(t *testing.T) {
	h := &History{}
	if !h.Empty() {
		t.Error("a new one is not empty")
	}
	h.Note(noon, 5, map[string]int64{"branch": 3, "idle": 0})
	h.Note(noon.Add(HistoryEvery), 7, map[string]int64{"branch": 4, "late": 2})
	h.Note(noon.Add(4*HistoryEvery), 1, map[string]int64{"branch": 1}) // two were missed
	for rule, want := range map[string][]int64{"": {5, 7, 1, 1, 1}, "branch": {3, 4, 1, 1, 1}, "late": {0, 2, 0, 0, 0}, "idle": nil, "unknown": nil} {
		if got, at := h.Recent(rule); !slices.Equal(got, want) || !at.Equal(noon.Add(4*HistoryEvery)) {
			t.Errorf("%q moved %v at %v, want %v", rule, got, at, want)
		}
	}
	for i := range HistorySlots {
		h.Note(noon.Add(time.Duration(5+i)*HistoryEvery), 0, nil)
	}
	if got, _ := h.Recent(""); len(got) != 0 || !h.Empty() {
		t.Errorf("long after the last byte there is %v", got)
	}
	h.Note(noon, 1, nil)
	h.Note(noon.Add(1000*time.Hour), 2, map[string]int64{"branch": 2})
	if got, _ := h.Recent(""); got[len(got)-1] != 2 || len(got) != HistorySlots || slices.Contains(got, 1) {
		t.Errorf("after a long pause there is %v", got)
	}
}

// However it is called, all lists are as long as each other, and bounded.
func TestAHistoryStaysBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, now := &History{}, noon
		for range rapid.IntRange(1, 300).Draw(t, "notes") {
			now = now.Add(time.Duration(rapid.IntRange(-10, 700).Draw(t, "seconds")) * time.Second)
			h.Note(now, int64(rapid.IntRange(0, 2).Draw(t, "all")), map[string]int64{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "rule"): int64(rapid.IntRange(0, 2).Draw(t, "of"))})
			all, _ := h.Recent("")
			if len(all) > HistorySlots {
				t.Fatalf("%d slots", len(all))
			}
			for _, rule := range []string{"a", "b", "c"} {
				if list, _ := h.Recent(rule); len(list) != 0 && len(list) != len(all) {
					t.Fatalf("%d slots of %s, %d of all", len(list), rule, len(all))
				}
			}
		}
	})
}
