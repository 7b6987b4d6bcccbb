package console

import (
	"net/http"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// computerViews are the views that the list of computers can be narrowed to.
var computerViews = []choice{
	{"", "All"}, {"unprotected", "Not protected"}, {"offline", "Offline"}, {"out-of-date", "Out of date"}, {"untrusted", "Not trusted"},
}

// computerRow is a computer as the list shows it.
type computerRow struct {
	name, status, system, version, groups string
	needs                                 []string
	computer                              *keepwardv1.Computer // has the times and conditions
}

// computersShown is how many computers a page has.
const computersShown = 100

// computerTable is a page of the list of computers.
type computerTable struct {
	view, text, after string
	rows              []computerRow
	found             int64 // in all pages
	more              bool
}

// link is the list with this filter, behind a computer.
func (t computerTable) link(view, after string) string {
	return link("/computers", "view", view, "text", t.text, "after", after)
}

// next is the page behind this one.
func (t computerTable) next() string {
	return t.link(t.view, t.rows[len(t.rows)-1].computer.GetName())
}

func (c *console) computerList(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	t := computerTable{view: q.Get("view"), text: q.Get("text"), after: q.Get("after")}
	m, err := call(r.Context(), c.client.computers.ListComputers, &keepwardv1.ListComputersRequest{View: t.view, Text: t.text, After: t.after, Limit: computersShown})
	if err != nil {
		return err
	}
	t.found, t.more = m.GetFound(), m.GetMore()
	for _, one := range m.GetComputers() {
		row := computerRow{
			name: words.Safe(one.GetName()), status: one.GetStatus(), system: words.Safe(strings.Trim(one.GetOs()+"/"+one.GetArch(), "/")),
			version: words.Safe(one.GetAgentVersion()), groups: words.Safe(words.Few(one.GetGroups())), computer: one,
		}
		for _, in := range one.GetViews() {
			for _, known := range computerViews {
				if in != "offline" && known.value == in { // the status says that
					row.needs = append(row.needs, strings.ToLower(known.label))
				}
			}
		}
		t.rows = append(t.rows, row)
	}
	v.title, v.at = "Computers", "computers"
	c.show(w, r, http.StatusOK, computersPage(v, t))
	return nil
}

func (c *console) repositoryList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
	if err != nil {
		return err
	}
	var rows []repositoryRow
	for _, one := range m.GetRepositories() {
		rows = append(rows, v.repository(one))
	}
	v.title, v.at = "Repositories", "repositories"
	c.show(w, r, http.StatusOK, repositoriesPage(v, rows))
	return nil
}
