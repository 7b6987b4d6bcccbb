package job

import (
	"path"
	"strings"
)

// Absolute tells whether p is an absolute path, on any system: the server does not know
// what the other end runs.
func Absolute(p string) bool {
	if strings.ContainsRune(p, 0) {
		return false
	}
	if len(p) >= 3 && p[1] == ':' && (p[2] == '\\' || p[2] == '/') {
		c := p[0] | 0x20
		return c >= 'a' && c <= 'z'
	}
	return path.IsAbs(p) || strings.HasPrefix(p, `\\`)
}
