package console

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// shownOf is how many sessions and points the page of a thing has.
const shownOf = 10

func computerLink(name string) string { return link("/computers/show", "computer", name) }

func safeList(items []string) string { return words.Safe(strings.Join(items, ", ")) }

// skewOf says how far a clock is off that of the server.
func skewOf(d *durationpb.Duration) string {
	v := d.AsDuration()
	switch {
	case d == nil:
		return ""
	case v.Abs().Seconds() < 1:
		return "as the server's"
	case v > 0:
		return words.Span(v) + " ahead of the server's"
	}
	return words.Span(-v) + " behind the server's"
}

func supplyOf(s *keepwardv1.Supply) string {
	if s == nil {
		return ""
	}
	text := "mains"
	if s.GetBattery() {
		text = "battery, " + strconv.Itoa(int(s.GetCharge())) + " %"
	}
	if s.GetMetered() {
		text += "; metered network"
	}
	return text
}

func (c *console) computerPage(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.computers.GetComputer, &keepwardv1.GetComputerRequest{Name: r.URL.Query().Get("computer")})
	if err != nil {
		return err
	}
	one := m.GetComputer()
	sessions, err := call(r.Context(), c.client.sessions.ListSessions, &keepwardv1.ListSessionsRequest{Computer: one.GetName(), Limit: shownOf})
	if err != nil {
		return err
	}
	s := sheet{
		crumb: choice{"/computers", "Computers"}, heading: words.Safe(one.GetName()), of: one.GetStatus(), live: true, conditions: one.GetConditions(),
		offers: v.offers(one.GetName(), "edit-connection", "test-connection", "set-tags", "update-agent", "remove-computer"),
	}
	last := "none"
	if t, ok := moment(one.GetLastPoint()); ok {
		last = v.clock(t)
	}
	seen := ""
	if t, ok := moment(one.GetLastSeen()); ok {
		seen = v.clock(t)
	}
	conn := one.GetConnection()
	s.sections = append(s.sections, section{facts: fields(
		"Last restore point", last, "Last seen", seen, "Agent", words.Safe(one.GetAgentVersion()), "System", words.Safe(cmp.Or(m.GetInventory().GetSystem(), strings.Trim(one.GetOs()+"/"+one.GetArch(), "/"))),
		"Host", words.Safe(one.GetHostname()), "Address", words.Safe(one.GetAddress()), "Clock", skewOf(one.GetSkew()), "Time zone", words.Safe(one.GetZone()), "Supply", supplyOf(one.GetSupply()),
		"Groups", safeList(one.GetGroups()), "Tags", safeList(one.GetTags()), "To look at", safeList(one.GetViews()),
	)}, section{title: "Connection", facts: fields(
		"The link is dialled by", words.Safe(conn.GetControl()), "Data is dialled by", words.Safe(conn.GetData()), "Addresses", safeList(conn.GetAddresses()),
		"The link that stands was dialled by", one.GetDialledBy(), "Not reached", v.says(one.GetControlError()),
	)})
	s.sections = append(s.sections, v.movingSection(one.GetName(), sessions.GetSessions()))
	inv := m.GetInventory()
	if inv != nil {
		volumes := section{title: "Volumes", columns: columns("Volume", "~Kind", "~Device", ">Size", ">Free"), empty: "The agent names none.", note: "What the agent said last."}
		for _, one := range inv.GetVolumes() {
			row := []cell{say(one.GetMount()), say(one.GetType()), say(one.GetDevice()), say(someSize(one.GetSizeBytes())), say(someSize(one.GetFreeBytes()))}
			if one.GetReadOnly() {
				row[0].sub = "read only"
			}
			if one.GetSizeBytes() > 0 {
				row[3].percent = int(float64(one.GetSizeBytes()-one.GetFreeBytes()) / float64(one.GetSizeBytes()) * 100)
			}
			volumes.rows = append(volumes.rows, row)
		}
		if n := inv.GetMoreVolumes(); n > 0 {
			volumes.note += " " + strconv.Itoa(int(n)) + " more are not listed."
		}
		s.sections = append(s.sections, volumes, section{title: "Machine", facts: fields(
			"Kernel", words.Safe(inv.GetKernel()), "Processors", some(int64(inv.GetProcessors())), "Memory", someSize(inv.GetMemoryBytes()), "Addresses", safeList(inv.GetAddresses()),
		)})
	}
	jobs := section{title: "Jobs", columns: columns("Job", "Schedule", "Last run"), empty: "No job is about it."}
	for _, j := range m.GetJobs() {
		jobs.rows = append(jobs.rows, []cell{leads(j.GetName(), jobLink("/jobs/show", j.GetName())), say(cmp.Or(j.GetSchedule(), "only by hand")), stated(words.Safe(j.GetLastResult()))})
	}
	last10 := section{title: "Sessions"}
	for _, one := range sessions.GetSessions() {
		last10.sessions = append(last10.sessions, v.row(one, 0))
	}
	if len(last10.sessions) == 0 {
		last10.columns, last10.empty = columns("Session"), "It has had no session yet."
	}
	points := section{title: "Restore points", note: "The newest of " + words.Count(int64(len(m.GetPoints()))) + "."}
	for _, p := range m.GetPoints()[:min(shownOf, len(m.GetPoints()))] {
		points.points = append(points.points, v.point(p))
	}
	if len(points.points) == 0 {
		points.note, points.columns, points.empty = "", columns("Point"), "It has none yet."
	}
	s.sections = append(s.sections, jobs, last10, points)
	c.showSheet(w, r, v, "computers", s)
	return nil
}

// movingSection is what a computer moves over the network now, of the tasks that the server is told of.
func (v *view) movingSection(name string, sessions []*keepwardv1.Session) section {
	s := section{title: "Traffic now", columns: columns("Session", ">Moves", ">May", "Rule"), empty: "No task of it is under a bound now; what moves without one is in its session."}
	for _, one := range sessions {
		for _, t := range one.GetTasks() {
			if r := t.GetRate(); r != nil && t.GetComputer() == name {
				s.rows = append(s.rows, []cell{leads(number(one.GetId()), "/sessions/"+number(one.GetId())), say(perSecond(r.GetMoving())), say(perSecond(r.GetNetwork())), say(r.GetRule())})
			}
		}
	}
	return s
}

func readComputer(d *doing) (*keepwardv1.Computer, error) {
	m, err := call(d, d.c.computers.GetComputer, &keepwardv1.GetComputerRequest{Name: d.of})
	return m.GetComputer(), err
}

var (
	controlChoices = []choice{{"agent", "its agent"}, {"server", "the server"}}
	dataChoices    = []choice{{"agent", "its agent"}, {"mover", "the mover of the repository"}}
)

func connectionEntries(conn *keepwardv1.ComputerConnection) []entry {
	return []entry{
		written(inChoice, "control", "The link is dialled by", cmp.Or(conn.GetControl(), "agent"), "", controlChoices...),
		written(inChoice, "data", "Data connections are dialled by", cmp.Or(conn.GetData(), "agent"), "", dataChoices...),
		area("addresses", "Addresses where the agent waits", "HOST:PORT, one a line. Needed where the server or a mover dials.", conn.GetAddresses()),
	}
}

var computerDeeds = []deed{
	{
		name: "add-computer", verb: "Add a computer", procedure: v1.ConnectionServiceAddComputerProcedure, part: "computers",
		ask: func(*doing) (form, error) {
			return form{
				back: "/computers", comes: []string{"The server dials the agent at its addresses. With the code that the agent shows, the two are paired; without one the computer is only added.", "For an agent that dials by itself, make a join token instead."},
				inputs: append([]entry{
					{name: "name", label: "Name", needed: true}, {name: "code", label: "Code", help: "As the agent shows it; it is good once.", secret: true},
				}, connectionEntries(&keepwardv1.ComputerConnection{Control: "server"})...),
			}, nil
		},
		do: func(d *doing) (done, error) {
			conn := &keepwardv1.ComputerConnection{Control: d.text("control"), Data: d.text("data"), Addresses: d.lines("addresses")}
			_, err := call(d, d.c.connections.AddComputer, &keepwardv1.AddComputerRequest{Name: d.text("name"), Connection: conn, Code: d.text("code")})
			return done{to: computerLink(d.text("name"))}, err
		},
	},
	{
		name: "edit-connection", verb: "Change connection", procedure: v1.ConnectionServiceEditComputerProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			one, err := readComputer(d)
			conn := one.GetConnection()
			if conn == nil {
				conn = &keepwardv1.ComputerConnection{}
			}
			return form{
				about: "computer " + d.of, back: computerLink(d.of), thing: conn, inputs: connectionEntries(conn),
				comes: []string{"It holds for links and data connections that are made from now on.", "Test it then: the button is on the page of the computer."},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.connections.EditComputer, &keepwardv1.EditComputerRequest{Name: d.of, Control: d.text("control"), Data: d.text("data"), Addresses: d.lines("addresses"), SetAddresses: true})
			return done{to: computerLink(d.of)}, err
		},
	},
	{
		name: "test-connection", verb: "Test connection", procedure: v1.ConnectionServiceTestConnectionProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			_, err := readComputer(d)
			return form{about: "computer " + d.of, back: computerLink(d.of), comes: []string{"Each way between the computer, the server and the repositories' hosts is dialled once, and hung up.", "Nothing is changed. It takes up to a minute."}}, err
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.connections.TestConnection, &keepwardv1.TestConnectionRequest{Name: d.of})
			out := done{to: computerLink(d.of)}
			for _, one := range m.GetChecks() {
				text := one.GetWhat() + ", " + one.GetFrom() + " to " + one.GetTo() + " " + one.GetAddress() + ": " + one.GetResult()
				if one.GetUsed() {
					text += ", the way it is set to"
				}
				if one.GetFailure() != nil {
					text += ": " + one.GetFailure().GetMessage()
				}
				out.says = append(out.says, text)
			}
			if len(out.says) == 0 {
				out.says = []string{"There was no way to test."}
			}
			return out, err
		},
	},
	{
		name: "set-tags", verb: "Set tags", procedure: v1.GroupServiceSetTagsProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			one, err := readComputer(d)
			return form{
				about: "computer " + d.of, back: computerLink(d.of), thing: &keepwardv1.ComputerTags{Tags: one.GetTags()}, inputs: []entry{area("tags", "Tags", "One a line.", one.GetTags())},
				comes: []string{"Groups that go by a tag take it in or let it go at once, and with them the jobs that name such a group."},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.groups.SetTags, &keepwardv1.SetTagsRequest{Computer: d.of, Tags: d.lines("tags")})
			return done{to: computerLink(d.of)}, err
		},
	},
	{
		name: "update-agent", verb: "Update agent", procedure: v1.UpdateServiceUpdateComputersProcedure, part: "computers",
		ask: func(d *doing) (form, error) {
			one, err := readComputer(d)
			return form{
				about: "computer " + d.of, back: computerLink(d.of), facts: fields("Agent", words.Safe(one.GetAgentVersion()), "Server", d.v.version),
				comes:  []string{"A session brings the version to the computer when nothing runs there. If the new agent does not reach the server in time, the old one comes back."},
				inputs: []entry{written(inText, "version", "Version", "", "Nothing: that of the server."), written(inCheck, "downgrade", "It may be an older one", "", "")},
			}, err
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.updates.UpdateComputers, &keepwardv1.UpdateComputersRequest{Computers: []string{d.of}, Version: d.text("version"), AllowDowngrade: d.on("downgrade")})
			return done{to: rolloutLink(m.GetRollout().GetId())}, err
		},
	},
	{
		name: "remove-computer", verb: "Remove", procedure: v1.ComputerServiceRemoveComputerProcedure, part: "computers", danger: true,
		ask: func(d *doing) (form, error) {
			one, err := readComputer(d)
			return form{
				about: "computer " + d.of, back: computerLink(d.of), facts: fields("State", one.GetStatus(), "Host", words.Safe(one.GetHostname()), "Groups", safeList(one.GetGroups())),
				comes: []string{
					"The certificate of its agent is revoked at once: it is locked out.",
					"Its restore points stay, and can be restored to other computers.",
					"Jobs go on without it; one that has no computer left is disabled.",
					"It comes back only by joining anew.",
				},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.computers.RemoveComputer, &keepwardv1.RemoveComputerRequest{Name: d.of})
			return done{to: "/computers"}, err
		},
	},
}

// exists refuses to make what there is already: the API would change it.
func exists(kind, name string) error {
	return errs.New(errs.Exists, "", "make %s %q: there is one already", kind, name).WithHint("choose another name, or change the one that there is")
}
