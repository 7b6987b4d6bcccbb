package changes

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// overlays looks for overlay file systems whose upper directory lies on the volume: what is
// written through them is told to nobody.
func (s *scan) overlays(dir string) error {
	ns, err := os.Readlink(dir + "/ns/mnt")
	if err != nil || s.namespaces[ns] {
		return err
	}
	f, err := os.Open(dir + "/mountinfo")
	if errors.Is(err, unix.EINVAL) {
		return nil // it is ending, and has no mounts any more
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s.namespaces[ns] = true
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		// ... - type source options
		_, tail, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(tail)
		if !ok || len(fields) < 3 || fields[0] != "overlay" {
			continue
		}
		for _, o := range splitOptions(fields[2]) {
			upper, ok := strings.CutPrefix(o, "upperdir=")
			if !ok {
				continue
			}
			if err := s.uppers(dir, upper); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

// uppers takes an upper directory as mountinfo has it. Kernels differ in whether the escapes
// that overlay wants in its options are still in there; and a container shows the path as it
// was where its root was mounted, which is seldom its own. So whatever it may be counts.
func (s *scan) uppers(dir, upper string) error {
	upper = unescape(upper)
	if !filepath.IsAbs(upper) {
		return fmt.Errorf("an overlay has the upper directory %q, wherever that is", upper)
	}
	found := false
	for _, root := range []string{"", dir + "/root"} {
		for _, path := range []string{upper, dropEscapes(upper)} {
			var st unix.Stat_t
			if unix.Stat(root+path, &st) != nil {
				continue
			}
			found = true
			if err := s.upper(root+path, &st); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("an overlay has the upper directory %q, which cannot be found", upper)
	}
	return nil
}

func (s *scan) upper(path string, st *unix.Stat_t) error {
	if st.Dev != s.mount.dev {
		return nil
	}
	h := handleOf(unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	fd, err := openHandle(s.mount.fd, h)
	if err != nil {
		return fmt.Errorf("upper directory of an overlay: %w", unseen(err))
	}
	defer unix.Close(fd)
	rel, _, err := s.mount.below(fd)
	if err != nil {
		return err
	}
	s.set.note("/%s on the volume is the upper directory of an overlay and counts as changed", rel)
	if err := s.set.add(&Change{Path: rel, What: Subtree}); err != nil {
		return fmt.Errorf("%w: %w", errSorter, err)
	}
	return nil
}

// unseen hides that something is missing, which elsewhere means that it has ended.
func unseen(err error) error { return errors.New(err.Error()) }

// splitOptions cuts mount options at commas that are not escaped.
func splitOptions(s string) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',':
			out, start = append(out, s[start:i]), i+1
		}
	}
	return append(out, s[start:])
}

// unescape resolves the escapes of mountinfo: a backslash and three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// dropEscapes resolves those of overlay: a backslash before what is meant.
func dropEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
