package treecmp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

const bufSize = 1 << 20

// span is a range of a file that is allocated.
type span struct{ from, to int64 }

// contents compares two regular files.
func (c *comparer) contents(a, b int, sa, sb *unix.Stat_t) error {
	if sa.Size != sb.Size {
		c.differ("size %d / %d", sa.Size, sb.Size)
		return nil
	}
	if sa.Size == 0 {
		return nil
	}
	ma, err := allocated(a, sa)
	if err != nil {
		return fmt.Errorf("find holes of %s on the left: %w", c.path(), err)
	}
	mb, err := allocated(b, sb)
	if err != nil {
		return fmt.Errorf("find holes of %s on the right: %w", c.path(), err)
	}
	if !c.o.IgnoreHoles && !slices.Equal(ma, mb) {
		c.differ("allocated %s / %s", spans(ma), spans(mb))
	}
	// What is a hole on both sides needs no reading.
	for _, s := range union(ma, mb) {
		if same, err := c.sameBytes(a, b, s); err != nil || !same {
			return err
		}
	}
	return nil
}

func spans(list []span) string {
	const most = 4
	s := ""
	for i, x := range list {
		if i == most {
			return fmt.Sprintf("%s… (%d ranges)", s, len(list))
		}
		s += fmt.Sprintf("[%d,%d)", x.from, x.to)
	}
	if s == "" {
		return "nothing"
	}
	return s
}

// allocated lists the ranges that hold data, widened to blocks and joined: a hole smaller
// than a block is none.
func allocated(fd int, st *unix.Stat_t) ([]span, error) {
	grain := max(st.Blksize, 512)
	var list []span
	for at := int64(0); at < st.Size; {
		from, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break
		}
		if err != nil {
			return nil, err
		}
		to, err := unix.Seek(fd, from, unix.SEEK_HOLE)
		if err != nil {
			return nil, err
		}
		at = to
		s := span{from / grain * grain, min((to+grain-1)/grain*grain, st.Size)}
		if n := len(list); n > 0 && list[n-1].to >= s.from {
			list[n-1].to = s.to
		} else {
			list = append(list, s)
		}
	}
	return list, nil
}

func union(a, b []span) []span {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(x, y span) int { return int(min(max(x.from-y.from, -1), 1)) })
	var out []span
	for _, s := range all {
		if n := len(out); n > 0 && out[n-1].to >= s.from {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

func (c *comparer) sameBytes(a, b int, s span) (bool, error) {
	for at := s.from; at < s.to; {
		n := int(min(s.to-at, bufSize))
		if err := readFull(a, c.bufA[:n], at); err != nil {
			return false, fmt.Errorf("read %s on the left: %w", c.path(), err)
		}
		if err := readFull(b, c.bufB[:n], at); err != nil {
			return false, fmt.Errorf("read %s on the right: %w", c.path(), err)
		}
		c.res.Bytes += int64(n)
		if !bytes.Equal(c.bufA[:n], c.bufB[:n]) {
			i := 0
			for c.bufA[i] == c.bufB[i] {
				i++
			}
			c.differ("content, from byte %d on", at+int64(i))
			return false, nil
		}
		at += int64(n)
	}
	return true, nil
}

func readFull(fd int, b []byte, at int64) error {
	for len(b) > 0 {
		n, err := unix.Pread(fd, b, at)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("it ends at byte %d", at)
		}
		b, at = b[n:], at+int64(n)
	}
	return nil
}
