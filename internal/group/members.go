// Package group says who is in a protection group: it reads the lists that groups have from
// elsewhere, within bounds, and puts together what they, names, patterns, tags and tokens come to.
//
// It starts nothing and asks no computer; what it keeps lies in the catalog. All functions may be
// called from any goroutine.
package group

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// Why a computer is a member, in the order in which it is said.
const (
	ByName    = "name"
	ByPattern = "pattern"
	ByTag     = "tag"
	ByFile    = catalog.NamesOfFile
	ByCloud   = catalog.NamesOfCloud
	ByToken   = catalog.NamesOfToken
)

// Computer is one that there is.
type Computer struct {
	Name string
	Tags []string
	// Trusted: it has a certificate that lets it in.
	Trusted bool
}

// Members is what a group comes to.
type Members struct {
	List []*keepwardv1.GroupMember
	// Excluded and Untrusted are named by the group and no members: excluded by it, or not let in.
	Excluded, Untrusted []string
	// Warnings are what is allowed and hardly meant.
	Warnings []string
}

// Of puts the members of a group together. names are those that it has from elsewhere, by source.
func Of(g *keepwardv1.Group, names map[string][]string, computers []Computer) Members {
	known := make(map[string]Computer, len(computers))
	for _, c := range computers {
		known[c.Name] = c
	}
	m := &gathering{group: g, known: known, seen: map[string]bool{}}
	for _, n := range g.GetComputers() {
		m.add(n, ByName)
	}
	for _, p := range g.GetPatterns() {
		m.matching(computers, ByPattern, fmt.Sprintf("pattern %q matches no computer", p), func(c Computer) bool { return Matches(p, c.Name) })
	}
	for _, tag := range g.GetTags() {
		m.matching(computers, ByTag, fmt.Sprintf("no computer has the tag %q", tag), func(c Computer) bool { return slices.Contains(c.Tags, tag) })
	}
	for _, source := range []string{ByFile, ByCloud, ByToken} {
		for _, n := range names[source] {
			m.add(n, source)
		}
	}
	slices.SortStableFunc(m.out.List, func(a, b *keepwardv1.GroupMember) int { return cmp.Compare(a.GetComputer(), b.GetComputer()) })
	slices.Sort(m.out.Excluded)
	slices.Sort(m.out.Untrusted)
	if len(m.out.List) == 0 {
		m.out.Warnings = append(m.out.Warnings, "it has no members now")
	}
	return m.out
}

// gathering puts one group together.
type gathering struct {
	group *keepwardv1.Group
	known map[string]Computer
	seen  map[string]bool
	out   Members
}

// matching adds the computers that fit, or warns that there are none.
func (m *gathering) matching(computers []Computer, by, none string, fits func(Computer) bool) {
	found := false
	for _, c := range computers {
		if fits(c) {
			found = true
			m.add(c.Name, by)
		}
	}
	if !found {
		m.out.Warnings = append(m.out.Warnings, none)
	}
}

func (m *gathering) add(name, by string) {
	if m.seen[name] {
		return
	}
	m.seen[name] = true
	switch {
	case Excludes(m.group, name):
		m.out.Excluded = append(m.out.Excluded, name)
	case !m.known[name].Trusted:
		m.out.Untrusted = append(m.out.Untrusted, name)
	default:
		m.out.List = append(m.out.List, &keepwardv1.GroupMember{Group: m.group.GetName(), Computer: name, By: by})
	}
}

// Excludes tells whether a group keeps a computer out of the jobs that name the group.
func Excludes(g *keepwardv1.Group, computer string) bool {
	return slices.ContainsFunc(g.GetExclude(), func(p string) bool { return Matches(p, computer) })
}

// Matches tells whether a name fits a pattern, whatever its case: names of hosts have none.
func Matches(pattern, name string) bool {
	ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(name))
	return err == nil && ok
}

// CheckPattern says what is wrong with a pattern; nil: nothing.
func CheckPattern(pattern string) error {
	if pattern == "" {
		return fmt.Errorf("a pattern of nothing")
	}
	_, err := path.Match(pattern, "")
	return err
}

// Cloud tells whether a group has members of a cloud: machines that it learns of by a command or a
// URL. They are in jobs that the backup server manages, and in no others.
func Cloud(g *keepwardv1.Group) bool { return g.GetCommand() != "" || g.GetUrl() != "" }
