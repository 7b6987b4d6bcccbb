package restore

import (
	"os/user"
	"strconv"

	"keepward/internal/repo/fileindex"
)

// owners finds this computer's numbers for the names of users and groups. A nil one takes the
// numbers as they are. It belongs to one goroutine.
type owners struct {
	users, groups map[string]int64 // -1: there is none of that name
}

func newOwners() *owners {
	return &owners{users: make(map[string]int64), groups: make(map[string]int64)}
}

// of answers the numbers that an entry's owner and group have here: by their names, and where
// one is not known here as they stand.
func (o *owners) of(e *fileindex.Entry) (uid, gid uint32) {
	uid, gid = uint32(e.UID), uint32(e.GID)
	if o == nil {
		return uid, gid
	}
	uid = number(o.users, e.User, uid, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	gid = number(o.groups, e.Group, gid, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	return uid, gid
}

func number(known map[string]int64, name []byte, otherwise uint32, lookup func(string) (string, error)) uint32 {
	if len(name) == 0 {
		return otherwise
	}
	n, ok := known[string(name)]
	if !ok {
		n = -1
		if text, err := lookup(string(name)); err == nil {
			if v, err := strconv.ParseUint(text, 10, 32); err == nil {
				n = int64(v)
			}
		}
		known[string(name)] = n
	}
	if n < 0 {
		return otherwise
	}
	return uint32(n)
}
