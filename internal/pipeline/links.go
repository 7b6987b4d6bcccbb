package pipeline

import (
	"bytes"
	"encoding/binary"

	"keepward/internal/extsort"
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

// A record of the sorter: device, inode, number of the name, each 8 bytes, then the path. So
// inodes come in the order of their table, and the names of one in that of the walk.
const linkHead = 24

func newLinkTable(scratch string) *linkTable {
	return &linkTable{names: extsort.New(scratch, linkMemory)}
}

func (t *linkTable) close() { t.names.Close() }

func (t *linkTable) add(st *source.Stat, path []byte) error {
	t.rec = binary.BigEndian.AppendUint64(t.rec[:0], st.Device)
	t.rec = binary.BigEndian.AppendUint64(t.rec, st.Inode)
	t.rec = append(binary.BigEndian.AppendUint64(t.rec, t.count), path...)
	t.count++
	return t.names.Add(t.rec)
}

// inode is a file with its names, which are valid until the next one.
type inode struct {
	device, number uint64
	paths          [][]byte
	room           []byte
}

func (i *inode) reset(device, number uint64) {
	*i = inode{device: device, number: number, paths: i.paths[:0], room: i.room[:0]}
}

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
		if len(cur.paths) > 0 && (device != cur.device || number != cur.number) {
			if err := fn(&cur); err != nil {
				return err
			}
			cur.reset(device, number)
		}
		cur.device, cur.number = device, number
		cur.add(rec[linkHead:])
		return nil
	})
	if err == nil && len(cur.paths) > 0 {
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
