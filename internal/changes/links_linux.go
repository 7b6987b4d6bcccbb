package changes

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// file takes a file whose names are to be found, one of which may be known. A record: the
// handle, with its length in a byte, facts, 2, and the name.
func (d *drain) file(f *fact, name []byte) error {
	d.rec = append(append(d.rec[:0], byte(len(f.target))), f.target...)
	d.rec = binary.BigEndian.AppendUint16(d.rec, uint16(f.what))
	d.rec = append(d.rec, name...)
	return d.inodes.Add(d.rec)
}

// stray is a file with names that are not known.
type stray struct {
	inode uint64
	what  What
}

// maxStrays bounds what is kept of them: 16 MiB.
const maxStrays = 1 << 20

// files finds all names of the files that may have several.
func (d *drain) files(ctx context.Context) error {
	var cur []byte
	var what facts
	var names [][]byte
	var strays []stray
	n := 0
	take := func() error {
		if cur == nil {
			return nil
		}
		s, err := d.allNames(ctx, cur, what, names)
		if err == nil && s.inode != 0 {
			strays = append(strays, s)
			if len(strays) > maxStrays {
				err = unknown{TooMany, errors.New("files with several names")}
			}
		}
		return err
	}
	err := d.inodes.Each(func(rec []byte) error {
		if n++; n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		i := 1 + int(rec[0])
		handle, rest := rec[1:i], rec[i:]
		if !bytes.Equal(cur, handle) {
			if err := take(); err != nil {
				return err
			}
			cur, what, names = bytes.Clone(handle), 0, names[:0]
		}
		what |= facts(binary.BigEndian.Uint16(rest))
		if len(rest) > 2 {
			names = append(names, bytes.Clone(rest[2:]))
		}
		return nil
	})
	if err == nil {
		err = take()
	}
	if err != nil || len(strays) == 0 {
		return err
	}
	return d.find(ctx, strays)
}

// allNames takes all names of a file, or answers it as a stray.
func (d *drain) allNames(ctx context.Context, handle []byte, f facts, told [][]byte) (stray, error) {
	fd, err := openHandle(d.mount.fd, handle)
	if errors.Is(err, unix.ESTALE) {
		return stray{}, nil // it is gone, and that was told of each of its names
	}
	if err != nil {
		return stray{}, unknown{TrackerFailed, fmt.Errorf("open a file by its handle: %w", err)}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return stray{}, unknown{TrackerFailed, err}
	}
	if st.Nlink == 0 {
		return stray{}, nil
	}
	s := stray{inode: st.Ino, what: (f &^ factNames).what()}
	verified := map[string]bool{}
	take := func(rel []byte) error {
		if string(rel) == "" || verified[string(rel)] {
			return nil
		}
		if bytes.Equal(handleOf(d.mount.fd, string(rel), 0), handle) {
			verified[string(rel)] = true
		}
		return d.set.add(&Change{Path: rel, What: s.what, Inode: s.inode})
	}
	for _, p := range told {
		if err := take(p); err != nil {
			return s, err
		}
	}
	if d.view.Links != nil && uint64(len(verified)) < uint64(st.Nlink) {
		names, err := d.view.Links(ctx, s.inode)
		if err != nil {
			return s, err
		}
		for _, p := range names {
			if rel, ok := d.inView(p); ok {
				if err := take(rel); err != nil {
					return s, err
				}
			}
		}
	}
	if uint64(len(verified)) < uint64(st.Nlink) {
		// Of a file that somebody uses the kernel knows a name.
		if p, err := fdPath(fd); err == nil {
			if rel, ok := d.mount.relative(p); ok && bytes.Equal(handleOf(d.mount.fd, string(rel), 0), handle) {
				if err := take(rel); err != nil {
					return s, err
				}
			}
		}
	}
	if uint64(len(verified)) >= uint64(st.Nlink) {
		return stray{}, nil
	}
	return s, nil
}

// inView is a path of the index relative to the root of the volume.
func (d *drain) inView(p []byte) ([]byte, bool) {
	pre := d.view.Prefix
	switch {
	case len(pre) == 0:
		return p, true
	case bytes.HasPrefix(p, pre) && len(p) > len(pre) && p[len(pre)] == '/':
		return p[len(pre)+1:], true
	}
	return nil, false
}

// find asks for the names of strays that the parent has. Names that came later are told of,
// and others are outside of what is backed up.
func (d *drain) find(ctx context.Context, strays []stray) error {
	if d.view.Find == nil {
		return unknown{Unnamed, fmt.Errorf("%d files have names that are not known", len(strays))}
	}
	what := make(map[uint64]What, len(strays))
	inodes := make([]uint64, 0, len(strays))
	for _, s := range strays {
		what[s.inode] |= s.what
	}
	for i := range what {
		inodes = append(inodes, i)
	}
	slices.Sort(inodes)
	return d.view.Find(ctx, inodes, func(inode uint64, path []byte) error {
		w := what[inode]
		if rel, ok := d.inView(path); ok && w != 0 {
			return d.set.add(&Change{Path: rel, What: w, Inode: inode})
		}
		return nil
	})
}
