package restore

import (
	"os/user"
	"strconv"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
)

// owners finds this computer's numbers for users and groups: by rules, and by their names. A nil one
// takes the numbers as they are. It belongs to one goroutine.
type owners struct {
	rules         []ownerRule
	byName        bool
	users, groups map[string]int64 // -1: there is none of that name
}

// ownerRule is an OwnerMap whose numbers are known.
type ownerRule struct {
	group  bool
	name   string
	number int64 // -1: it is about a name only
	to     uint32
}

func newOwners() *owners {
	return &owners{byName: true, users: make(map[string]int64), groups: make(map[string]int64)}
}

// ownersOf makes what the options ask for. A rule that gives to nobody is an error: what it is about
// would get an owner that was not meant.
func ownersOf(o *Options) (*owners, error) {
	if !o.OwnersByName && len(o.Owners) == 0 {
		return nil, nil
	}
	out := newOwners()
	out.byName = o.OwnersByName
	for _, m := range o.Owners {
		r := ownerRule{group: m.Group, name: m.From, number: -1}
		if v, err := strconv.ParseUint(m.From, 10, 32); err == nil {
			r.number = int64(v)
		}
		to, err := strconv.ParseUint(m.To, 10, 32)
		if err != nil {
			text, lerr := lookupOwner(m.Group, m.To)
			if to, err = strconv.ParseUint(text, 10, 32); lerr != nil || err != nil {
				kind := "user"
				if m.Group {
					kind = "group"
				}
				return nil, errs.New(errs.Invalid, "restore.owner", "give to %s what belonged to %s: there is no %s of that name on this computer", m.To, m.From, kind).
					WithHint("name one that there is, or write a number")
			}
		}
		r.to = uint32(to)
		out.rules = append(out.rules, r)
	}
	return out, nil
}

func lookupOwner(group bool, name string) (string, error) {
	if group {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

// ruled is what the first rule that fits gives; false: none does.
func (o *owners) ruled(group bool, name []byte, number uint64) (uint32, bool) {
	for _, r := range o.rules {
		if r.group == group && (r.name == string(name) || r.number >= 0 && uint64(r.number) == number) {
			return r.to, true
		}
	}
	return 0, false
}

// of answers the numbers that an entry's owner and group have here: by their names, and where
// one is not known here as they stand.
func (o *owners) of(e *fileindex.Entry) (uid, gid uint32) {
	uid, gid = uint32(e.UID), uint32(e.GID)
	if o == nil {
		return uid, gid
	}
	if to, ok := o.ruled(false, e.User, e.UID); ok {
		uid = to
	} else if o.byName {
		uid = number(o.users, e.User, uid, func(name string) (string, error) { return lookupOwner(false, name) })
	}
	if to, ok := o.ruled(true, e.Group, e.GID); ok {
		gid = to
	} else if o.byName {
		gid = number(o.groups, e.Group, gid, func(name string) (string, error) { return lookupOwner(true, name) })
	}
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
