package server

import (
	"strings"

	"keepward/internal/errs"
)

// roleAdmin is the role of administrators, as it is kept.
const roleAdmin = "admin"

// roles are those of users.
var roles = []struct {
	name string
	bit  access
	// within are the roles that may no more than this one.
	within access
	words  string
}{
	{"viewer", viewer, viewer, "sees what is set and what goes on; no names of files but those in logs"},
	{"operator", operator, viewer | operator, "also runs, stops and reorders sessions, and checks repositories"},
	{"restore-operator", restorer, viewer | restorer, "also looks into restore points and restores from them"},
	{roleAdmin, admin, users, "may everything"},
}

// roleOf is the bit of a role, or 0 where there is no such role: then it may nothing.
func roleOf(name string) access {
	for _, r := range roles {
		if r.name == name {
			return r.bit
		}
	}
	return 0
}

// within tells whether a role may no more than another one.
func within(name, other string) bool {
	for _, r := range roles {
		if r.name == other {
			return r.within&roleOf(name) != 0
		}
	}
	return false
}

// roleNames are the names of roles.
func roleNames(of access) (names []string) {
	for _, r := range roles {
		if r.bit&of != 0 {
			names = append(names, r.name)
		}
	}
	return names
}

// checkRole refuses what is no role.
func checkRole(name string) error {
	if roleOf(name) == 0 {
		return errs.New(errs.Invalid, "user.role", "check role: there is no role %q of users", name).
			WithHint("roles are %s", strings.Join(roleNames(users), ", "))
	}
	return nil
}

// callName is a method as people and the audit log call it: JobService/DeleteJob.
func callName(procedure string) string {
	return strings.TrimPrefix(procedure, "/keepward.v1.")
}
