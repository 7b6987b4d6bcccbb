package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// plan prints what is still to be done and how long it takes about, and refuses what does not
// fit on the disk.
func (b *bench) plan(works []*workload) error {
	total, room := time.Duration(0), 0.0
	for _, w := range works {
		need, rounds := time.Duration(0), 0
		for round := range b.roundsOf(w) {
			if d := b.expect(w, round); d > 0 {
				need, rounds = need+d, rounds+1
			}
		}
		if rounds == 0 {
			continue
		}
		need += time.Duration(float64(w.seconds) * w.share * float64(time.Second)) // building
		fmt.Printf("about %6s  %d rounds of %s: %s\n", need.Round(time.Second), rounds, w.name, w.title)
		total, room = total+need, max(room, float64(w.gib)*min(w.share, 1))
	}
	fmt.Printf("about %6s  in all, on a machine that has nothing else to do\n", total.Round(time.Second))
	var fs unix.Statfs_t
	if err := unix.Statfs(b.data, &fs); err != nil {
		return err
	}
	if free := float64(fs.Bavail) * float64(fs.Bsize) / (1 << 30); free < room {
		return fmt.Errorf("%s has %.0f GiB of room, and %.0f are needed", b.data, free, room)
	}
	return nil
}

// expect is how long what is left of a round takes about; the constants are of two cores.
func (b *bench) expect(w *workload, round int) time.Duration {
	sum := 0
	for _, e := range b.due(w, round) {
		const start = 3 // and the making of repositories and targets
		sum += w.part(e.name()).seconds + start
	}
	if len(b.dueFloors(w, round)) > 0 {
		sum += w.seconds
	}
	return time.Duration(float64(sum) * w.share * float64(time.Second))
}
