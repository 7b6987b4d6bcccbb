package traffic

import "time"

// HistoryEvery is how often it is noted what moves, and HistorySlots how many such moments are kept.
const (
	HistoryEvery = 5 * time.Second
	HistorySlots = 120
)

// History is what moved over the network in the last minutes, of all tasks and under each rule. The zero History is
// empty. It is for one goroutine at a time.
type History struct {
	at  time.Time // of the newest slot; zero: there is none
	all []int64   // bytes a second, the newest last; at most HistorySlots
	of  map[string][]int64
}

// Empty tells whether nothing is kept.
func (h *History) Empty() bool { return h.at.IsZero() }

// Note adds what all tasks moved since the newest slot, and what those under each rule did, in the mean: if that is longer
// ago than a slot, to all that were missed. Where nothing has moved for as long as is kept, all is forgotten.
func (h *History) Note(now time.Time, all int64, of map[string]int64) {
	slots := 1
	if !h.at.IsZero() {
		slots = min(max(int(now.Sub(h.at)/HistoryEvery), 1), HistorySlots)
	}
	for range slots {
		h.push(all, of)
	}
	h.at = now
	if h.quiet() {
		*h = History{}
	}
}

func (h *History) push(all int64, of map[string]int64) {
	keep := func(list []int64, v int64) []int64 {
		if list = append(list, v); len(list) > HistorySlots {
			list = append([]int64(nil), list[len(list)-HistorySlots:]...)
		}
		return list
	}
	before := len(h.all)
	h.all = keep(h.all, all)
	for rule, list := range h.of {
		h.of[rule] = keep(list, of[rule])
	}
	for rule, v := range of {
		if _, ok := h.of[rule]; !ok && v > 0 {
			if h.of == nil {
				h.of = map[string][]int64{}
			}
			h.of[rule] = keep(make([]int64, min(before, HistorySlots-1)), v)
		}
	}
}

// quiet tells whether nothing moved in all slots that are kept.
func (h *History) quiet() bool {
	for _, v := range h.all {
		if v != 0 {
			return false
		}
	}
	return len(h.all) == 0 || len(h.all) >= HistorySlots
}

// Recent is what moved at each slot, the newest last, and when that was. rule empty: of all tasks. Of a rule under
// which nothing has moved it is nothing.
func (h *History) Recent(rule string) (bytesPerSecond []int64, newest time.Time) {
	list := h.all
	if rule != "" {
		list = h.of[rule]
	}
	return append([]int64(nil), list...), h.at
}
