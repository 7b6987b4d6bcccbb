package catalog

import (
	"database/sql"
	"strings"
	"testing"
)

// A repository has the points of thousands of computers: whose computer is known is not looked for
// among them.
func TestThePointsOfAComputerAreFoundByTheComputer(t *testing.T) {
	db := openTest(t)
	of, ofArgs := PointFilter{Computer: "web1", Job: "docs", Repository: "main"}.query()
	all, allArgs := PointFilter{Repository: "main"}.query()
	for _, c := range []struct {
		index, query string
		args         []any
	}{
		{"points_by_computer", of, ofArgs},
		{"points_by_computer", parentPoint, []any{"web1", "docs", "main"}},
		{"points_by_repository", all, allArgs},
	} {
		rows, err := db.Read().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+c.query, c.args...)
		steps, err := collect(rows, err, func(r *sql.Rows) (detail string, err error) {
			var id, parent, unused int
			return detail, r.Scan(&id, &parent, &unused, &detail)
		})
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(steps, "; "); !strings.Contains(plan, c.index) {
			t.Errorf("%s is found by %s", c.query, plan)
		}
	}
}
