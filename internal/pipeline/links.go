package pipeline

import (
	"bytes"
	"encoding/binary"

	"keepward/internal/extsort"
	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// linkMemory is what the names of files that have several may take in memory, before they go
// to disk: some ten thousand.
const linkMemory = 4 << 20

// linkTable collects the names of files that have several. It belongs to one goroutine.
type linkTable struct {
	names *extsort.Sorter
	count uint64
	rec   []byte
}

// A record of the sorter: device, inode, number of the name, each 8 bytes, flags, then the path. So
// inodes come in the order of their table, and the names of one in that of the walk.
const linkHead = 25

const (
	// linkUnsure: the times of the file prove nothing.
	linkUnsure = 1 << iota
	// linkLost: the parent has a name of the inode that is no more one; there is no path.
	linkLost
)

func newLinkTable(scratch string) *linkTable {
	return &linkTable{names: extsort.New(scratch, linkMemory)}
}

func (t *linkTable) close() { t.names.Close() }

func (t *linkTable) add(st *source.Stat, path []byte, unsure bool) error {
	flags := byte(0)
	if unsure {
		flags = linkUnsure
	}
	return t.record(st.Device, st.Inode, flags, path)
}

// lose notes that the parent's name of an inode is no more one of it.
func (t *linkTable) lose(e *fileindex.Entry) error {
	return t.record(e.Device, e.Inode, linkLost, nil)
}

func (t *linkTable) record(device, inode uint64, flags byte, path []byte) error {
	t.rec = binary.BigEndian.AppendUint64(t.rec[:0], device)
	t.rec = binary.BigEndian.AppendUint64(t.rec, inode)
	t.rec = append(append(binary.BigEndian.AppendUint64(t.rec, t.count), flags), path...)
	t.count++
	return t.names.Add(t.rec)
}

// inode is a file with its names, which are valid until the next one.
type inode struct {
	device, number uint64
	paths          [][]byte
	lost           uint64 // names that the parent has and that are none any more
	unsure         bool
	room           []byte
}

func (i *inode) reset(device, number uint64) {
	*i = inode{device: device, number: number, paths: i.paths[:0], room: i.room[:0]}
}

func (i *inode) some() bool { return len(i.paths) > 0 || i.lost > 0 }

func (i *inode) add(path []byte) {
	start := len(i.room)
	i.room = append(i.room, path...)
	// Where the room has moved, the paths before stay in the old one.
	i.paths = append(i.paths, i.room[start:len(i.room):len(i.room)])
}

// each calls fn for every inode with its names, in the order of the inode table.
func (t *linkTable) each(fn func(*inode) error) error {
	var cur inode
	err := t.names.Each(func(rec []byte) error {
		device, number := binary.BigEndian.Uint64(rec), binary.BigEndian.Uint64(rec[8:])
		if cur.some() && (device != cur.device || number != cur.number) {
			if err := fn(&cur); err != nil {
				return err
			}
			cur.reset(device, number)
		}
		cur.device, cur.number = device, number
		flags := rec[linkHead-1]
		cur.unsure = cur.unsure || flags&linkUnsure != 0
		if flags&linkLost != 0 {
			cur.lost++
		} else {
			cur.add(rec[linkHead:])
		}
		return nil
	})
	if err == nil && cur.some() {
		err = fn(&cur)
	}
	return err
}

// dirs finds the directories of paths. It keeps the last one, since the files that come next
// to each other in an inode table often lie in one directory.
type dirs struct {
	walker *source.Walker
	path   []byte
	last   *source.Dir
}

// of answers the directory a path lies in, and its name there.
func (d *dirs) of(path []byte) (*source.Dir, []byte) {
	i := bytes.LastIndexByte(path, '/')
	above := path[:max(i, 0)]
	if d.last == nil || !bytes.Equal(above, d.path) {
		d.path, d.last = append(d.path[:0], above...), d.walker.Dir(above)
	}
	return d.last, path[i+1:]
}
