package mover

import (
	"bytes"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo/fileindex"
)

// toEntry is an index entry as clients see it: with its full name on the computer.
func toEntry(e *fileindex.Entry, os string) *keepwardv1.Entry {
	if e == nil {
		return nil
	}
	return &keepwardv1.Entry{
		Path: fullPath(e.Path, os), Type: e.Type.String(), Mode: e.Mode,
		Uid: e.UID, Gid: e.GID, User: printable(e.User), Group: printable(e.Group),
		Size: e.Size, Mtime: timestamppb.New(e.MTime.Time()),
		LinkTarget: bytes.Clone(e.Target), Links: e.Links, Xattrs: uint32(len(e.Xattrs)),
		Inode: e.Inode, Rdev: e.RDev,
	}
}

// fullPath puts back the leading slash that paths in an index do not have. Windows names
// begin with a drive.
func fullPath(path []byte, os string) []byte {
	if os == "windows" {
		return bytes.Clone(path)
	}
	return append([]byte{'/'}, path...)
}

// indexPath is a client's path as an index has it.
func indexPath(path []byte) []byte { return bytes.Trim(path, "/") }

// printable makes a name fit for a text field; user names are ASCII nearly everywhere.
func printable(b []byte) string { return string(bytes.ToValidUTF8(b, []byte("\uFFFD"))) }
