// Package speed keeps how fast a task moved data over all of its time, in little room.
//
// The time is cut into slots of equal length. When there are too many, two and two become one: of a task
// that takes minutes one sees seconds, of one that takes days quarters of an hour. The package only
// counts: it knows no task and no clock. A Series is for one goroutine at a time.
package speed

import (
	"encoding/binary"
	"errors"
	"time"
)

const (
	// Most is how many slots a series has at most: a graph is not much wider than three times as many
	// pixels.
	Most = 240
	// Kept is how many slots are left of a task that is over: there may be millions of those.
	Kept = 120
	// First is how long slots are at first: reports come twice a second, and a graph of single reports is
	// noise.
	First = 2 * time.Second
)

// Amounts are bytes.
type Amounts struct{ Read, Sent, Stored int64 }

// Slot is what was moved in one slot. Running: an attempt was there in it.
type Slot struct {
	Amounts
	Running bool
}

// Series is the speed of a task. Zero is one of a task that has not begun.
type Series struct {
	Start time.Time
	Every time.Duration
	Slots []Slot
	// The newest report: of which attempt, when, and what its counters said.
	Attempt string
	Last    time.Time
	Counted Amounts
}

// Add takes in what the counters of an attempt say at a moment. What was moved since the report before
// is spread evenly over the time since then; what an attempt says first is put to its moment, for before
// it there may have been a long pause.
func (s *Series) Add(at time.Time, attempt string, counted Amounts) {
	switch {
	case s.Start.IsZero():
		s.Start, s.Every, s.Last, s.Attempt = at, First, at, attempt
	case at.Before(s.Last):
		at = s.Last // the clock was set back
	}
	if attempt != s.Attempt {
		s.Attempt, s.Last, s.Counted = attempt, at, Amounts{}
	}
	more := Amounts{
		Read: max(counted.Read-s.Counted.Read, 0), Sent: max(counted.Sent-s.Counted.Sent, 0), Stored: max(counted.Stored-s.Counted.Stored, 0),
	}
	// After a start of the server one end of the attempt reports before the other: what the other counts
	// is missing then, and not gone.
	s.Counted = Amounts{
		Read: max(counted.Read, s.Counted.Read), Sent: max(counted.Sent, s.Counted.Sent), Stored: max(counted.Stored, s.Counted.Stored),
	}
	for s.slotOf(at) >= Most {
		s.halve()
	}
	s.spread(s.Last, at, more)
	s.Last = at
}

func (s *Series) slotOf(t time.Time) int { return int(max(t.Sub(s.Start), 0) / s.Every) }

// spread puts amounts to the slots of a time.
func (s *Series) spread(from, to time.Time, a Amounts) {
	first, last := s.slotOf(from), s.slotOf(to)
	for len(s.Slots) <= last {
		s.Slots = append(s.Slots, Slot{})
	}
	all, left := to.Sub(from), a
	for i := first; i <= last; i++ {
		s.Slots[i].Running = true
		part := left // of the last slot: what rounding has left
		if i < last {
			begin, end := s.Start.Add(time.Duration(i)*s.Every), s.Start.Add(time.Duration(i+1)*s.Every)
			if begin.Before(from) {
				begin = from
			}
			share := float64(end.Sub(begin)) / float64(all)
			part = Amounts{int64(float64(a.Read) * share), int64(float64(a.Sent) * share), int64(float64(a.Stored) * share)}
		}
		s.Slots[i].add(part)
		left.Read, left.Sent, left.Stored = left.Read-part.Read, left.Sent-part.Sent, left.Stored-part.Stored
	}
}

func (a *Slot) add(b Amounts) {
	a.Read, a.Sent, a.Stored = a.Read+b.Read, a.Sent+b.Sent, a.Stored+b.Stored
}

// halve makes one slot of two.
func (s *Series) halve() {
	n := (len(s.Slots) + 1) / 2
	for i := range n {
		one := s.Slots[2*i]
		if 2*i+1 < len(s.Slots) {
			next := s.Slots[2*i+1]
			one.add(next.Amounts)
			one.Running = one.Running || next.Running
		}
		s.Slots[i] = one
	}
	s.Slots, s.Every = s.Slots[:n], 2*s.Every
}

// Finish makes a series of a task that is over smaller.
func (s *Series) Finish() {
	for len(s.Slots) > Kept {
		s.halve()
	}
}

// slotBytes is the least that a slot takes, written.
const slotBytes = 3

// AppendSlots writes the slots.
func AppendSlots(to []byte, slots []Slot) []byte {
	for _, v := range slots {
		first := uint64(v.Read) << 1
		if v.Running {
			first |= 1
		}
		to = binary.AppendUvarint(to, first)
		to = binary.AppendUvarint(to, uint64(v.Sent))
		to = binary.AppendUvarint(to, uint64(v.Stored))
	}
	return to
}

// ParseSlots reads what AppendSlots has written.
func ParseSlots(from []byte) ([]Slot, error) {
	if len(from) == 0 {
		return nil, nil
	}
	out := make([]Slot, 0, min(len(from)/slotBytes, Most))
	for len(from) > 0 {
		var n [3]uint64
		for i := range n {
			v, size := binary.Uvarint(from)
			if size <= 0 {
				return nil, errors.New("read speed: the slots end within one")
			}
			n[i], from = v, from[size:]
		}
		if len(out) == Most {
			return nil, errors.New("read speed: there are more slots than there can be")
		}
		out = append(out, Slot{Amounts{int64(n[0] >> 1), int64(n[1]), int64(n[2])}, n[0]&1 == 1})
	}
	return out, nil
}
