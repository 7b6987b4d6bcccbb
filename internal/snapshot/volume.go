package snapshot

import (
	"bufio"
	"bytes"
	"slices"
	"strconv"
	"strings"
)

// Volume is a file system as it is mounted at one place.
type Volume struct {
	ID     int    // of the mount
	Parent int    // the mount that it is mounted on
	Device string // major:minor, as mounts have it; on Windows the volume
	Root   string // the directory of the file system that is mounted
	Mount  string // where: /srv, C:\, D:\srv
	Type   string
	Source string // the device, or what stands for one; on Windows the volume
	// ReadOnly: the file system is, not only the mount.
	ReadOnly bool
}

// Visible are what is mounted here and not hidden by another mount, those above before those within
// them.
func Visible() ([]Volume, error) {
	list, err := Volumes()
	return visible(list), err
}

// parseMounts reads proc_pid_mountinfo(5): lines such as
// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue".
func parseMounts(b []byte) []Volume {
	var out []Volume
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		dash := slices.Index(f, "-")
		if dash < 6 || len(f) < dash+3 {
			continue
		}
		id, err := strconv.Atoi(f[0])
		parent, perr := strconv.Atoi(f[1])
		if err != nil || perr != nil {
			continue
		}
		v := Volume{ID: id, Parent: parent, Device: f[2], Root: unescape(f[3]), Mount: unescape(f[4]), Type: f[dash+1], Source: unescape(f[dash+2])}
		if len(f) > dash+3 {
			v.ReadOnly = slices.Contains(strings.Split(f[dash+3], ","), "ro")
		}
		out = append(out, v)
	}
	return out
}

// unescape puts back the characters that mountinfo writes as \ and three octal digits.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// visible are the mounts that no other hides, those above before those within them.
func visible(mounts []Volume) []Volume {
	here, on := make(map[int]bool), make(map[int][]Volume)
	for _, v := range mounts {
		here[v.ID] = true
		on[v.Parent] = append(on[v.Parent], v)
	}
	var out []Volume
	var show func(v Volume)
	show = func(v Volume) {
		for _, c := range on[v.ID] {
			if c.Mount == v.Mount {
				show(c) // it lies on all of v
				return
			}
		}
		out = append(out, v)
		for _, c := range on[v.ID] {
			// What is mounted above a mount after it hides it; before it, it would be its parent.
			if !slices.ContainsFunc(on[v.ID], func(o Volume) bool { return o.Mount != c.Mount && within(c.Mount, o.Mount) }) {
				show(c)
			}
		}
	}
	for _, v := range mounts {
		if !here[v.Parent] || v.Parent == v.ID {
			show(v)
		}
	}
	return out
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	path, dir = plain(path), plain(dir)
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// plain is a path as it is compared. One of Windows is told by its drive: there \ is /, and upper and
// lower case are the same.
func plain(path string) string {
	if len(path) < 2 || path[0] == '/' || path[1] != ':' {
		return path
	}
	return strings.ToUpper(strings.TrimRight(strings.ReplaceAll(path, `\`, "/"), "/"))
}

// join is a path below a directory.
func join(dir, rel string) string {
	rel = strings.Trim(rel, "/")
	switch {
	case rel == "":
		return dir
	case strings.HasSuffix(dir, "/"):
		return dir + rel
	}
	return dir + "/" + rel
}
