package source

import (
	"bytes"
	"slices"
	"strings"
)

// An AutomaticRow is something that a backup leaves out by itself, because nobody wants it back: it
// is made anew by who needs it. docs/user/filters.md has the same table.
type AutomaticRow struct {
	// Systems are those that have it, as runtime.GOOS names them.
	Systems []string
	// Path is the full path, as patterns have it; one that ends with a slash is a directory, of
	// which all content is left out, and which itself stays.
	Path string
	// What it is.
	What string
}

const (
	linux   = "linux"
	freebsd = "freebsd"
	darwin  = "darwin"
	windows = "windows"
)

const (
	whatTemporary  = "temporary files"
	whatCaches     = "caches of users"
	whatPackages   = "downloaded packages"
	whatTrash      = "what users have thrown away"
	whatCrashes    = "crash dumps"
	whatSwap       = "swap file"
	whatIndex      = "search index and change log of the system"
	whatActiveSwap = "swap file that is in use"
	whatOwn        = "the agent's own data directory"
)

var (
	onUnix  = []string{linux, freebsd}
	onLinux = []string{linux}
	onMac   = []string{darwin}
	onWin   = []string{windows}
)

// Automatic is the table of what is left out by itself. A directory that a user may have put
// something else into does not belong here: /var/cache, for instance, has more than caches.
var Automatic = []AutomaticRow{
	{onUnix, "/tmp/", whatTemporary},
	{onUnix, "/var/tmp/", whatTemporary},
	{onUnix, "/home/*/.cache/", whatCaches},
	{onUnix, "/root/.cache/", whatCaches},
	{onUnix, "/home/*/.local/share/Trash/", whatTrash},
	{onUnix, "/root/.local/share/Trash/", whatTrash},
	{onUnix, "**/.Trash-[0-9]*/", whatTrash},
	{onLinux, "/var/cache/apt/archives/", whatPackages},
	{onLinux, "/var/cache/dnf/", whatPackages},
	{onLinux, "/var/cache/yum/", whatPackages},
	{onLinux, "/var/cache/zypp/packages/", whatPackages},
	{onLinux, "/var/cache/pacman/pkg/", whatPackages},
	{onLinux, "/var/cache/apk/", whatPackages},
	{[]string{freebsd}, "/var/cache/pkg/", whatPackages},
	{onUnix, "/var/crash/", whatCrashes},
	{onLinux, "/var/lib/systemd/coredump/", whatCrashes},
	{onLinux, "/var/lib/apport/coredump/", whatCrashes},
	{onLinux, "/var/spool/abrt/", whatCrashes},
	{onLinux, "/swapfile", whatSwap},
	{onLinux, "/swap.img", whatSwap},
	{[]string{freebsd}, "/usr/swap0", whatSwap},
	{onMac, "/private/tmp/", whatTemporary},
	{onMac, "/private/var/tmp/", whatTemporary},
	{onMac, "/private/var/folders/", whatTemporary},
	{onMac, "/Library/Caches/", whatCaches},
	{onMac, "/Users/*/Library/Caches/", whatCaches},
	{onMac, "/Users/*/.Trash/", whatTrash},
	{onMac, "**/.Trashes/", whatTrash},
	{onMac, "/cores/", whatCrashes},
	{onMac, "/private/var/vm/", whatSwap},
	{onMac, "**/.Spotlight-V100/", whatIndex},
	{onMac, "**/.fseventsd/", whatIndex},
	{onWin, "/*:/Windows/Temp/", whatTemporary},
	{onWin, "/*:/Users/*/AppData/Local/Temp/", whatTemporary},
	{onWin, "/*:/Users/*/AppData/Local/Microsoft/Windows/INetCache/", whatCaches},
	{onWin, "/*:/Windows/SoftwareDistribution/Download/", whatPackages},
	{onWin, "/*:/$Recycle.Bin/", whatTrash},
	{onWin, "/*:/Windows/Minidump/", whatCrashes},
	{onWin, "/*:/Windows/MEMORY.DMP", whatCrashes},
	{onWin, "/*:/pagefile.sys", whatSwap},
	{onWin, "/*:/swapfile.sys", whatSwap},
	{onWin, "/*:/hiberfil.sys", "the memory of a computer at rest"},
	{onWin, "/*:/System Volume Information/", "snapshots and change log of the system"},
}

// automatic is the rows that hold for a walk, found by the name of the directory that they are about.
type automatic struct {
	byName map[string][]*autoRow
	globs  []*autoRow // those whose directory's name is a pattern
	fold   bool       // upper and lower case are the same
}

// autoRow is a row: all in a directory, or one name in it.
type autoRow struct {
	dir  [][]byte // the components of the directory, as matchParts takes them
	name []byte   // nil: all names
	rule RuleID
}

// on tells whether a system has it.
func (r AutomaticRow) on(system string) bool { return slices.Contains(r.Systems, system) }

// newAutomatic takes the rows of a system, and what is only known on the computer itself.
func newAutomatic(rows []AutomaticRow, fold bool, rule func(AutomaticRow) RuleID) *automatic {
	a := &automatic{byName: make(map[string][]*autoRow), fold: fold}
	for _, r := range rows {
		a.add(r, rule(r))
	}
	return a
}

func (a *automatic) add(r AutomaticRow, rule RuleID) {
	path := r.Path
	if a.fold {
		path = strings.ToLower(path)
	}
	dir, isDir := strings.CutSuffix(path, "/")
	row := &autoRow{dir: pathParts(dir), rule: rule}
	if !isDir {
		last := len(row.dir) - 1
		row.dir, row.name = row.dir[:last], unescaped(row.dir[last])
	}
	name := ""
	if n := len(row.dir); n > 0 {
		name = string(row.dir[n-1])
	}
	if strings.ContainsAny(name, `*?[`) {
		a.globs = append(a.globs, row)
		return
	}
	name = string(unescaped([]byte(name)))
	a.byName[name] = append(a.byName[name], row)
}

// in answers the rows that are about a directory: its name, and its path if that is asked for.
func (a *automatic) in(name []byte, path func() []byte) (rows []*autoRow) {
	if a == nil {
		return nil
	}
	if a.fold {
		name = bytes.ToLower(name)
	}
	var full []byte
	known := false
	look := func(r *autoRow) {
		if !known {
			if full, known = path(), true; a.fold {
				full = bytes.ToLower(full)
			}
		}
		if matchParts(r.dir, full) {
			rows = append(rows, r)
		}
	}
	for _, r := range a.byName[string(name)] {
		look(r)
	}
	for _, r := range a.globs {
		if globMatch(r.dir[len(r.dir)-1], name) {
			look(r)
		}
	}
	return rows
}

// escaped is a path as a pattern that means nothing else.
func escaped(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if strings.IndexByte(`*?[\`, path[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(path[i])
	}
	return b.String()
}

// unescaped is what a pattern without wildcards means.
func unescaped(p []byte) []byte {
	out := make([]byte, 0, len(p))
	for i := 0; i < len(p); i++ {
		if p[i] == '\\' && i+1 < len(p) {
			i++
		}
		out = append(out, p[i])
	}
	return out
}
