package pipeline

import "testing"

func TestProcessorTimesAreRead(t *testing.T) {
	for name, tc := range map[string]struct {
		text      string
		busy, all int64
		ok        bool
	}{
		"a kernel of today": {"cpu  10 20 30 400 50 1 2 3 4 5\ncpu0 1 1 1 1\n", 66, 516, true},
		"an old kernel":     {"cpu 1 2 3 4\n", 6, 10, true},
		"something else":    {"processors: 2\n", 0, 0, false},
		"no number":         {"cpu 1 2 x 4 5\n", 0, 0, false},
		"nothing":           {"", 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			busy, all, ok := parseProcessorTimes([]byte(tc.text))
			if busy != tc.busy || all != tc.all || ok != tc.ok {
				t.Errorf("read %d of %d, %v; want %d of %d, %v", busy, all, ok, tc.busy, tc.all, tc.ok)
			}
		})
	}
}

func TestIdleProcessorsKnowsAfterItsFirstCall(t *testing.T) {
	idle := idleProcessors()
	if _, ok := idle(); ok {
		t.Error("the first call knows what was before it")
	}
	share, ok := idle()
	if !ok || share < 0 || share > 1 {
		t.Errorf("the second call answers %v, %v", share, ok)
	}
}
