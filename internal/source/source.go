// Package source reads a computer's files: it walks what a job includes in the order of the
// file index and opens what the walk found, always relative to open directories, so that
// paths of any length work and a symlink put in the way is never followed.
//
// It is not for deciding what has changed and not for sending anything. A Walker's Next
// belongs to one goroutine; Dir and File methods may be called by several at once.
package source

import (
	"keepward/internal/repo/fileindex"
)

// Stat is what the file system says of a file.
type Stat struct {
	Type                fileindex.Type
	Mode                uint32 // 07777
	UID, GID            uint32
	Size                int64
	Blocks              int64 // of 512 bytes; -1: not known
	MTime, CTime, BTime fileindex.Time
	Inode, Device       uint64
	Links, RDev         uint64
}

// SameFile tells whether nothing that shows in a stat has changed between s and o.
func (s *Stat) SameFile(o *Stat) bool {
	return s.Inode == o.Inode && s.Device == o.Device && s.Type == o.Type && s.Size == o.Size &&
		s.MTime == o.MTime && s.CTime == o.CTime
}

// Item is one file that a walk found. It is valid until the next call of Next; its Dir may be
// kept.
type Item struct {
	// Path is as fileindex.Entry has it: no slash at either end, the root empty.
	Path []byte
	Stat Stat
	// Dir is the directory the file lies in, nil for the root.
	Dir *Dir
	// Self is the directory itself, when the file is one.
	Self *Dir
	// State may have Ancestor, CacheTagged and Mountpoint.
	State fileindex.State

	// What follows is of a walk that goes by changes: see Walker.Follow.

	// Kept are the keys in the parent of what did not change. Then there is nothing else.
	Kept *fileindex.Range
	// Clean: the file is there, and neither it nor anything below it changed. Of Stat only the
	// type is known, or nothing; of a directory all.
	Clean bool
	// Partly: the item is a directory of whose content only what changed follows.
	Partly bool
	// Unsure: somebody may write to the file unseen, so that its times prove nothing.
	Unsure bool
}

// Name is the last component of the item's path.
func (i *Item) Name() []byte { return i.Path[nameStart(i.Path):] }

func nameStart(path []byte) int {
	for j := len(path) - 1; j >= 0; j-- {
		if path[j] == '/' {
			return j + 1
		}
	}
	return 0
}

// Level is how bad a Problem is.
type Level string

// The levels: worth knowing; the point is whole all the same; the point lacks something.
const (
	Info    Level = "info"
	Warning Level = "warning"
	Error   Level = "error"
)

// Problem is something that a walk met and went on.
type Problem struct {
	Level Level
	// Code is file.unreadable, file.vanished, dir.unreadable, include.missing, include.platform or
	// include.resolved.
	Code string
	Path []byte
	Err  error
}

// Selection is what a walk takes.
type Selection struct {
	// Include are absolute paths in the computer's own notation.
	Include []string
	// Exclude are patterns; see docs/user/filters.md.
	Exclude []string
	// Only are masks: a file that matches none is left out; none: all files are taken.
	Only []string
	// IncludeTemporary takes what is left out by itself too; see Automatic.
	IncludeTemporary bool
	// Own are directories of the program that reads, which it leaves out by itself.
	Own []string
	// OneFileSystem keeps to the file system of each include path.
	OneFileSystem bool
	// View is where it is read, where that is not its own place; nil: all at its own place. It
	// changes neither what is taken nor what it is called.
	View *View
	// Within: the include paths are those of View, whatever stands at their places.
	Within bool
	// IncludeCaches takes the content of directories tagged by CACHEDIR.TAG too.
	IncludeCaches bool
	// Nothing: without an include path nothing is taken but the root directory itself; else that is an
	// error.
	Nothing bool
	// Alone has the reader of the walk do all of it: it is slower, and takes one processor at most.
	Alone bool
}
