package pipeline

import (
	"os/user"
	"strconv"
)

// owners remembers the names of users and groups. It belongs to one goroutine.
type owners struct {
	users, groups map[uint64][]byte
}

func newOwners() *owners {
	return &owners{users: make(map[uint64][]byte), groups: make(map[uint64][]byte)}
}

// user is the name of a user, nil if the id has none.
func (o *owners) user(id uint64) []byte {
	return lookUp(o.users, id, func(s string) (string, error) {
		u, err := user.LookupId(s)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

// group is the name of a group, nil if the id has none.
func (o *owners) group(id uint64) []byte {
	return lookUp(o.groups, id, func(s string) (string, error) {
		g, err := user.LookupGroupId(s)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func lookUp(known map[uint64][]byte, id uint64, ask func(string) (string, error)) []byte {
	if name, ok := known[id]; ok {
		return name
	}
	var name []byte
	if s, err := ask(strconv.FormatUint(id, 10)); err == nil {
		name = []byte(s)
	}
	known[id] = name
	return name
}
