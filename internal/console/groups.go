package console

import (
	"cmp"
	"net/http"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/words"
)

func groupLink(name string) string { return link("/groups/show", "group", name) }

func (c *console) groupList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.groups.ListGroups, &keepwardv1.ListGroupsRequest{})
	if err != nil {
		return err
	}
	t := section{columns: columns("Group", ">Members", "~Source", "~Jobs", "~Needs attention"), empty: "There is no group yet."}
	for _, g := range m.GetGroups() {
		name := leads(g.GetGroup().GetName(), groupLink(g.GetGroup().GetName()))
		name.sub = words.Safe(g.GetGroup().GetDescription())
		var problems []string
		for _, l := range g.GetLists() {
			problems = append(problems, strings.TrimSpace(l.GetProblem()))
		}
		problems = append(problems, g.GetWarnings()...)
		t.rows = append(t.rows, []cell{name, say(words.Count(int64(len(g.GetMembers())))), say(sourceOf(g.GetGroup())), say(words.Few(g.GetJobs())), say(strings.Trim(strings.Join(problems, "; "), "; "))})
	}
	c.showSheet(w, r, v, "computers", sheet{heading: "Groups", sections: []section{t}, offers: v.offers("", "new-group", "rescan-groups")})
	return nil
}

// sourceOf says where the members of a group come from.
func sourceOf(g *keepwardv1.Group) string {
	var out []string
	for _, one := range []struct {
		is   bool
		text string
	}{
		{len(g.GetComputers()) > 0, "names"},
		{len(g.GetPatterns()) > 0, "patterns"},
		{len(g.GetTags()) > 0, "tags"},
		{g.GetFile() != "", "file"},
		{g.GetCommand() != "" || g.GetUrl() != "", "cloud"},
	} {
		if one.is {
			out = append(out, one.text)
		}
	}
	return cmp.Or(strings.Join(out, ", "), "join tokens")
}

func (c *console) groupPage(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.groups.GetGroup, &keepwardv1.GetGroupRequest{Name: r.URL.Query().Get("group")})
	if err != nil {
		return err
	}
	st, g := m.GetState(), m.GetState().GetGroup()
	s := sheet{
		crumb: choice{"/groups", "Groups"}, heading: "Group", of: words.Safe(g.GetName()),
		offers: v.offers(g.GetName(), "edit-group", "rescan-groups", "new-join-token", "update-group", "delete-group"),
	}
	for _, text := range st.GetWarnings() {
		s.notices = append(s.notices, v.says(text))
	}
	s.sections = append(s.sections, section{facts: fields(
		"Description", words.Safe(g.GetDescription()), "Computers", safeList(g.GetComputers()), "Patterns", safeList(g.GetPatterns()), "Tags", safeList(g.GetTags()), "Left out", safeList(g.GetExclude()),
		"File", words.Safe(g.GetFile()), "Command", words.Safe(strings.Join(append(listOf(g.GetCommand()), g.GetArguments()...), " ")), "URL", words.Safe(g.GetUrl()), "Time limit", duration(g.GetTimeLimit()),
		"Jobs", safeList(st.GetJobs()),
	)})
	if len(st.GetLists()) > 0 {
		t := section{title: "Lists from elsewhere", columns: columns("Source", ">Names", "Read", "~Tried", "Problem")}
		for _, l := range st.GetLists() {
			t.rows = append(t.rows, []cell{say(l.GetSource()), say(words.Count(l.GetNames())), at(l.GetRead()), at(l.GetTried()), say(v.says(l.GetProblem()))})
		}
		s.sections = append(s.sections, t)
	}
	members := section{title: "Members", columns: columns("Computer", "Because of its"), empty: "It has none now."}
	for _, one := range st.GetMembers() {
		members.rows = append(members.rows, []cell{leads(one.GetComputer(), computerLink(one.GetComputer())), say(one.GetBy())})
	}
	s.sections = append(s.sections, members)
	for _, out := range []struct {
		title, note string
		names       []string
	}{
		{"Left out", "Named by the group, and excluded by it.", st.GetExcluded()},
		{"Not let in", "Named by the group; they have not joined, or their certificate was revoked.", st.GetUntrusted()},
	} {
		if len(out.names) > 0 {
			t := section{title: out.title, note: out.note, columns: columns("Computer")}
			for _, name := range out.names {
				t.rows = append(t.rows, []cell{say(name)})
			}
			s.sections = append(s.sections, t)
		}
	}
	c.showSheet(w, r, v, "computers", s)
	return nil
}

func groupEntries(g *keepwardv1.Group, computers []choice) []entry {
	return []entry{
		written(inText, "description", "Description", g.GetDescription(), ""),
		someOf("computers", "Computers", "", computers, g.GetComputers()),
		area("more", "Computers that have not joined yet", "Names, one a line.", nil),
		area("patterns", "Patterns of names", "Such as web*, one a line.", g.GetPatterns()),
		area("tags", "Tags", "All computers with one of them. One a line.", g.GetTags()),
		area("exclude", "Left out", "Names and patterns, one a line: they take no part in a job of the group, whoever else names them.", g.GetExclude()),
		written(inText, "file", "List in a file", g.GetFile(), "CSV or YAML, on the server; absolute."),
		written(inText, "command", "List of a program", g.GetCommand(), "In the server's folder for scripts; it prints cloud machines as JSON."),
		area("arguments", "Its arguments", "One a line.", g.GetArguments()),
		written(inText, "url", "List at an address", g.GetUrl(), "Where the cloud machines are to be had as JSON."),
		written(inText, "limit", "Time limit", duration(g.GetTimeLimit()), "Of the program or the address; nothing: 1m."),
	}
}

func groupOf(d *doing, name string) (*keepwardv1.Group, error) {
	limit, err := durationOf("Time limit", d.text("limit"))
	g := &keepwardv1.Group{
		Name: name, Description: d.text("description"), Computers: append(d.chosen("computers"), d.lines("more")...), Patterns: d.lines("patterns"), Tags: d.lines("tags"),
		Exclude: d.lines("exclude"), File: d.text("file"), Command: d.text("command"), Arguments: d.lines("arguments"), Url: d.text("url"),
	}
	if limit > 0 {
		g.TimeLimit = durationpb.New(limit)
	}
	return g, err
}

func (d *doing) computers() ([]choice, error) {
	m, err := call(d, d.c.computers.ListComputers, &keepwardv1.ListComputersRequest{})
	return namesOf(m.GetComputers()), err
}

func readGroup(d *doing) (*keepwardv1.GroupState, error) {
	m, err := call(d, d.c.groups.GetGroup, &keepwardv1.GetGroupRequest{Name: d.of})
	return m.GetState(), err
}

var groupDeeds = []deed{
	{
		name: "new-group", verb: "New group", procedure: v1.GroupServiceCreateGroupProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			computers, err := d.computers()
			return form{back: "/groups", inputs: append([]entry{{name: "name", label: "Name", needed: true}}, groupEntries(&keepwardv1.Group{}, computers)...)}, err
		},
		do: func(d *doing) (done, error) {
			g, err := groupOf(d, d.text("name"))
			if err != nil {
				return done{}, err
			}
			_, err = call(d, d.c.groups.CreateGroup, &keepwardv1.CreateGroupRequest{Group: g})
			return done{to: groupLink(g.GetName())}, err
		},
	},
	{
		name: "edit-group", verb: "Edit", procedure: v1.GroupServiceUpdateGroupProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			st, err := readGroup(d)
			if err != nil {
				return form{}, err
			}
			computers, err := d.computers()
			return form{
				about: "group " + d.of, back: groupLink(d.of), thing: st.GetGroup(), inputs: groupEntries(st.GetGroup(), computers),
				comes: []string{"Jobs that name the group take its members as they are when they start."},
			}, err
		},
		do: func(d *doing) (done, error) {
			g, err := groupOf(d, d.of)
			if err != nil {
				return done{}, err
			}
			_, err = call(d, d.c.groups.UpdateGroup, &keepwardv1.UpdateGroupRequest{Group: g})
			return done{to: groupLink(d.of)}, err
		},
	},
	{
		name: "delete-group", verb: "Delete", procedure: v1.GroupServiceDeleteGroupProcedure, part: "computers", danger: true,
		ask: func(d *doing) (form, error) {
			st, err := readGroup(d)
			return form{
				about: "group " + d.of, back: groupLink(d.of), facts: fields("Members", some(int64(len(st.GetMembers()))), "Jobs", safeList(st.GetJobs())),
				comes: []string{"Its computers and their restore points stay.", "It is refused while a job names the group."},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.groups.DeleteGroup, &keepwardv1.DeleteGroupRequest{Name: d.of})
			return done{to: "/groups"}, err
		},
	},
	{
		name: "rescan-groups", verb: "Rescan", procedure: v1.GroupServiceRescanGroupsProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			f := form{about: "all groups", back: "/groups", comes: []string{"A session reads the lists of the groups again, and asks every computer what it is."}}
			if d.of == "" {
				return f, nil
			}
			_, err := readGroup(d)
			f.about, f.back, f.comes = "group "+d.of, groupLink(d.of), []string{"A session reads the lists of the group again, and asks its members what they are."}
			return f, err
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.groups.RescanGroups, &keepwardv1.RescanGroupsRequest{Names: listOf(d.of)})
			return done{to: "/sessions/" + number(m.GetSession())}, err
		},
	},
	{
		name: "update-group", verb: "Update agents", procedure: v1.UpdateServiceUpdateComputersProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			st, err := readGroup(d)
			return form{
				about: "group " + d.of, back: groupLink(d.of), facts: fields("Members", some(int64(len(st.GetMembers()))), "Server", d.v.version), inputs: rolloutEntries(),
				comes: []string{"A rollout brings the version to the members, some at once, and stops by itself when too much goes wrong."},
			}, err
		},
		do: func(d *doing) (done, error) { return startRollout(d, &keepwardv1.UpdateComputersRequest{Group: d.of}) },
	},
}

// Tokens by which computers and repository hosts join.

func (c *console) joinTokenList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.access.ListTokens, &keepwardv1.ListTokensRequest{})
	if err != nil {
		return err
	}
	t := section{columns: columns("Token", "For", "State", "Expires", "~Made", "~Used", "Actions"), empty: "There is no join token."}
	for _, k := range m.GetTokens() {
		id, state := say(k.GetId()), joinTokenState(v, k)
		id.code = true
		row := []cell{id, say(joinTokenFor(k)), stated(state), at(k.GetExpires()), at(k.GetCreated()), at(k.GetUsed()), {}}
		if state == "open" {
			row[6] = doable(v.offers(k.GetId(), "revoke-join-token"))
		}
		t.rows = append(t.rows, row)
	}
	c.showSheet(w, r, v, "computers", sheet{heading: "Join tokens", sections: []section{t}, offers: v.offers("", "new-join-token", "add-computer")})
	return nil
}

func joinTokenFor(k *keepwardv1.JoinToken) string {
	if k.GetGroup() != "" {
		return "any new computer of group " + k.GetGroup() + ", used " + number(k.GetUses()) + " times"
	}
	return k.GetRole() + " " + k.GetName()
}

func joinTokenState(v *view, k *keepwardv1.JoinToken) string {
	switch {
	case k.GetRevoked():
		return "revoked"
	case k.GetUsed() != nil && k.GetGroup() == "":
		return "used"
	case k.GetExpires() != nil && k.GetExpires().AsTime().Before(v.now):
		return "expired"
	}
	return "open"
}

var joinTokenDeeds = []deed{
	{
		name: "new-join-token", verb: "New join token", procedure: v1.AccessServiceCreateTokenProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			ttl := written(inText, "ttl", "Good for", "1h", "Such as 10m, 1h, 7d.")
			if d.of != "" {
				_, err := readGroup(d)
				return form{
					about: "group " + d.of, back: groupLink(d.of), inputs: []entry{ttl},
					comes: []string{"Any number of new computers join with it, each under a name that was never there, and become members of the group, until it expires or is revoked.", "It is shown once."},
				}, err
			}
			return form{
				back: "/tokens", comes: []string{"One node joins with it, once, under this name.", "It is shown once."},
				inputs: []entry{
					written(inChoice, "role", "For", "agent", "", choice{"agent", "a computer"}, choice{"transport", "a repository host"}),
					{name: "name", label: "Name", help: "Under which it joins.", needed: true},
					ttl,
				},
			}, nil
		},
		do: func(d *doing) (done, error) {
			ttl, err := durationOf("Good for", d.text("ttl"))
			if err != nil {
				return done{}, err
			}
			req := &keepwardv1.CreateTokenRequest{Role: d.text("role"), Name: d.text("name"), Ttl: durationpb.New(ttl)}
			if d.of != "" {
				req = &keepwardv1.CreateTokenRequest{Role: "agent", Group: d.of, Ttl: durationpb.New(ttl)}
			}
			m, err := call(d, d.c.access.CreateToken, req)
			return done{to: "/tokens", secret: m.GetToken()}, err
		},
	},
	{
		name: "revoke-join-token", verb: "Revoke", procedure: v1.AccessServiceRevokeTokenProcedure, part: "computers", danger: true,
		ask: func(d *doing) (form, error) {
			return form{about: "join token " + d.of, back: "/tokens", comes: []string{"Nobody joins with it any more. Who has joined by it stays."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.access.RevokeToken, &keepwardv1.RevokeTokenRequest{Id: d.of})
			return done{to: "/tokens"}, err
		},
	},
}
