package pipeline

import (
	"bytes"
	"os"
	"strconv"
)

// idleProcessors answers the share of processors that had nothing to do since its last call:
// those of the computer, or those that this process may use, whichever is less.
func idleProcessors() func() (float64, bool) {
	own := ownIdle()
	var busy, all int64
	return func() (float64, bool) {
		share, ok := own()
		b, a, known := processorTimes()
		if known && a > all {
			share = min(share, 1-float64(b-busy)/float64(a-all))
		}
		busy, all = b, a
		return share, ok
	}
}

// processorTimes reads how long the computer's processors have been busy, and how long they
// have been there.
func processorTimes() (busy, all int64, ok bool) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	return parseProcessorTimes(b)
}

// parseProcessorTimes reads the first line: cpu, then user, nice, system, idle, waiting for
// input and output, and more kinds of being busy. Time of guests is in that of users too.
func parseProcessorTimes(b []byte) (busy, all int64, ok bool) {
	line, _, _ := bytes.Cut(b, []byte{'\n'})
	fields := bytes.Fields(line)
	if len(fields) < 5 || string(fields[0]) != "cpu" {
		return 0, 0, false
	}
	for i, f := range fields[1:min(9, len(fields))] {
		n, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, 0, false
		}
		all += n
		if i != 3 && i != 4 {
			busy += n
		}
	}
	return busy, all, true
}
