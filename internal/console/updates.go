package console

import (
	"net/http"
	"strconv"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

func rolloutLink(id int64) string { return link("/updates/show", "rollout", number(id)) }

func rolloutEntries() []entry {
	return []entry{
		written(inText, "version", "Version", "", "Nothing: that of the server."),
		written(inText, "at_once", "At once", "", "Nothing: as the setting says."),
		written(inCheck, "downgrade", "It may be an older one", "", ""),
	}
}

func startRollout(d *doing, req *keepwardv1.UpdateComputersRequest) (done, error) {
	if text := d.text("at_once"); text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return done{}, errs.New(errs.Invalid, "", "at once: %q is no number", text)
		}
		req.AtOnce = int32(n)
	}
	req.Version, req.AllowDowngrade = d.text("version"), d.on("downgrade")
	m, err := call(d, d.c.updates.UpdateComputers, req)
	return done{to: rolloutLink(m.GetRollout().GetId())}, err
}

func (c *console) updateList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.updates.ListRollouts, &keepwardv1.ListRolloutsRequest{})
	if err != nil {
		return err
	}
	p, err := call(r.Context(), c.client.updates.ListPackages, &keepwardv1.ListPackagesRequest{})
	if err != nil {
		return err
	}
	t := section{title: "Rollouts", columns: columns("Rollout", "Version", "State", ">Done", "~By", "~Began"), empty: "No agent has been updated by the server yet."}
	for _, one := range m.GetRollouts() {
		over := 0
		for _, m := range one.GetMembers() {
			if m.GetStatus() != "to do" && m.GetStatus() != "at it" {
				over++
			}
		}
		t.rows = append(t.rows, []cell{
			leads(number(one.GetId()), rolloutLink(one.GetId())), say(one.GetVersion()), stated(one.GetStatus()),
			say(strconv.Itoa(over) + " of " + strconv.Itoa(len(one.GetMembers()))), say(one.GetUser()), at(one.GetCreated()),
		})
	}
	packages := section{title: "Packages", note: "Programs that the server holds for its agents. Upload others on the command line: keepward agent-package import.", columns: columns("Version", "Platform", ">Size", "~Came", "~By", "Problem", "Actions"), empty: "There is none."}
	for _, one := range p.GetPackages() {
		row := []cell{say(one.GetVersion()), say(one.GetOs() + "/" + one.GetArch()), say(words.Size(one.GetSizeBytes())), at(one.GetImported()), say(one.GetUser()), say(one.GetProblem()), {}}
		if one.GetImported() == nil {
			row[3] = say("the server's own")
		} else {
			for _, o := range v.offers(one.GetVersion(), "remove-package") {
				o.to = deedLink(o.deed.name, one.GetVersion(), "os", one.GetOs(), "arch", one.GetArch())
				row[6].acts = append(row[6].acts, o)
			}
		}
		packages.rows = append(packages.rows, row)
	}
	c.showSheet(w, r, v, "computers", sheet{heading: "Agents' updates", live: true, sections: []section{t, packages}, offers: v.offers("", "update-old")})
	return nil
}

func (c *console) rolloutPage(w http.ResponseWriter, r *http.Request, v *view) error {
	id, err := strconv.ParseInt(r.URL.Query().Get("rollout"), 10, 64)
	if err != nil {
		return errs.New(errs.NotFound, "", "%q is no number of a rollout", r.URL.Query().Get("rollout"))
	}
	m, err := call(r.Context(), c.client.updates.GetRollout, &keepwardv1.GetRolloutRequest{Id: id})
	if err != nil {
		return err
	}
	one := m.GetRollout()
	s := sheet{crumb: choice{"/updates", "Agents' updates"}, heading: "Rollout " + number(one.GetId()), of: words.Safe(one.GetVersion()), live: true}
	if one.GetStatus() == "active" {
		s.offers = v.offers(number(id), "stop-rollout")
	}
	s.sections = append(s.sections, section{facts: fields("State", one.GetStatus(), "Why", v.says(one.GetReason()), "By", words.Safe(one.GetUser()), "At once", some(int64(one.GetAtOnce())))})
	t := section{title: "Computers", columns: columns("Computer", "State", "~From", "Session", "Why"), empty: "It has none."}
	for _, c := range one.GetMembers() {
		row := []cell{leads(c.GetComputer(), computerLink(c.GetComputer())), stated(c.GetStatus()), say(c.GetFrom()), {}, say(v.says(c.GetReason()))}
		if c.GetSession() > 0 {
			row[3] = leads(number(c.GetSession()), "/sessions/"+number(c.GetSession()))
		}
		t.rows = append(t.rows, row)
	}
	s.sections = append(s.sections, t)
	c.showSheet(w, r, v, "computers", s)
	return nil
}

var updateDeeds = []deed{
	{
		name: "update-old", verb: "Update all that are older than the server", procedure: v1.UpdateServiceUpdateComputersProcedure, part: "computers",
		ask: func(*doing) (form, error) {
			return form{back: "/updates", comes: []string{"A rollout brings the version to every computer whose agent is older, some at once.", "An agent that does not reach the server with the new version goes back to its old one by itself."}, inputs: rolloutEntries()}, nil
		},
		do: func(d *doing) (done, error) {
			return startRollout(d, &keepwardv1.UpdateComputersRequest{AllOutOfDate: true})
		},
	},
	{
		name: "stop-rollout", verb: "Stop", procedure: v1.UpdateServiceStopRolloutProcedure, part: "computers", danger: true,
		ask: func(d *doing) (form, error) {
			return form{about: "rollout " + d.of, back: link("/updates/show", "rollout", d.of), comes: []string{"No computer of it begins any more; those that are at it go on."}}, nil
		},
		do: func(d *doing) (done, error) {
			id, err := strconv.ParseInt(d.of, 10, 64)
			if err != nil {
				return done{}, errs.New(errs.NotFound, "", "%q is no number of a rollout", d.of)
			}
			_, err = call(d, d.c.updates.StopRollout, &keepwardv1.StopRolloutRequest{Id: id})
			return done{to: rolloutLink(id)}, err
		},
	},
	{
		name: "remove-package", verb: "Remove", procedure: v1.UpdateServiceRemovePackageProcedure, part: "computers", danger: true,
		ask: func(d *doing) (form, error) {
			return form{about: "package " + d.of + " " + d.more.Get("os") + "/" + d.more.Get("arch"), back: "/updates", comes: []string{"No computer gets this version any more. Those that have it keep it."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.updates.RemovePackage, &keepwardv1.RemovePackageRequest{Version: d.of, Os: d.more.Get("os"), Arch: d.more.Get("arch")})
			return done{to: "/updates"}, err
		},
	},
}
