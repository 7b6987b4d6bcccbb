package restore

import (
	"os/user"
	"strconv"
	"testing"

	"keepward/internal/repo/fileindex"
)

func TestOwnersAreFoundByTheirNames(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip("nobody knows this user's name")
	}
	group, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Skip("nobody knows this group's name")
	}
	uid, _ := strconv.ParseUint(me.Uid, 10, 32)
	gid, _ := strconv.ParseUint(me.Gid, 10, 32)
	for _, c := range []struct {
		name     string
		o        *owners
		e        fileindex.Entry
		uid, gid uint32
	}{
		{"by number", nil, fileindex.Entry{UID: 4321, GID: 8765, User: []byte(me.Username), Group: []byte(group.Name)}, 4321, 8765},
		{"by name", newOwners(), fileindex.Entry{UID: 4321, GID: 8765, User: []byte(me.Username), Group: []byte(group.Name)}, uint32(uid), uint32(gid)},
		{"nobody of that name", newOwners(), fileindex.Entry{UID: 4321, GID: 8765, User: []byte("no such user"), Group: []byte("no such group")}, 4321, 8765},
		{"no names", newOwners(), fileindex.Entry{UID: 4321, GID: 8765}, 4321, 8765},
	} {
		for range 2 { // the second time from memory
			if u, g := c.o.of(&c.e); u != c.uid || g != c.gid {
				t.Errorf("%s: %d:%d, want %d:%d", c.name, u, g, c.uid, c.gid)
			}
		}
	}
}
