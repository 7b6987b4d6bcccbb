//go:build unix

package source

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/fsid"
)

// place is a file system that a walk met: what its device number is, and what it is called
// instead, since that must be the same at the next backup.
type place struct {
	raw, id uint64
	taken   time.Time // as of a Graft
}

// numbers are what the file systems of a walk are called.
type numbers struct {
	mu    sync.Mutex
	ids   map[uint64]uint64 // by device number
	taken map[uint64]uint64 // the device number that has an id
}

// of is the number of the file system of an open directory.
func (n *numbers) of(fd int, raw uint64) uint64 {
	id := fsid.Of(fd)
	if id == 0 {
		id = raw
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil {
		n.ids, n.taken = make(map[uint64]uint64), make(map[uint64]uint64)
	}
	if other, ok := n.taken[id]; ok && other != raw {
		id = fsid.Salted(id, raw) // a copy of a disk is mounted beside it
	}
	n.taken[id], n.ids[raw] = raw, id
	return id
}

// known is the number of a file system of which no directory is at hand: of a single file that
// is mounted over another.
func (n *numbers) known(raw uint64) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[raw]; ok {
		return id
	}
	if n.ids == nil {
		n.ids, n.taken = make(map[uint64]uint64), make(map[uint64]uint64)
	}
	n.ids[raw] = raw // and stays that: names of one file must not differ
	return raw
}

// placeOf is where the directory d lies, which is open as fd; above is that of the directory
// above, nil where d is not opened in it.
func (c *dirCache) placeOf(d *Dir, fd int, raw uint64, above *place) *place {
	if g := d.spot.graft(); g != nil {
		p := &place{raw: raw, id: g.Device, taken: g.Taken}
		if p.id == 0 {
			p.id = c.numbers.of(fd, raw)
		}
		return p
	}
	if above != nil && above.raw == raw {
		return above
	}
	return &place{raw: raw, id: c.numbers.of(fd, raw)}
}

// translate makes the device of a stat the number of the file system.
func (d *Dir) translate(st *Stat) {
	switch {
	case d == nil:
	case d.place != nil && d.place.raw == st.Device:
		st.Device = d.place.id
	default:
		st.Device = d.cache.numbers.known(st.Device)
	}
}

// Seen is the moment whose state is read in d: now, or when its snapshot was taken. d must have
// been opened.
func (d *Dir) Seen(now time.Time) time.Time {
	if d.place != nil && !d.place.taken.IsZero() && d.place.taken.Before(now) {
		return d.place.taken
	}
	return now
}

// openGraft opens the directory that stands at a place.
func (c *dirCache) openGraft(g *Graft) (int, error) {
	if g.From != "" {
		return unix.Open(g.From, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	// Component by component, as all else, so that no symlink on the way is followed.
	d := &Dir{cache: c, fd: -1}
	for rest := toPath(g.At); len(rest) > 0; {
		var name []byte
		name, rest = cutComponent(rest)
		d = d.child(name)
	}
	fd, err := d.acquire()
	if err != nil {
		return -1, err
	}
	defer d.release()
	return openAt(fd, ".", unix.O_DIRECTORY)
}
