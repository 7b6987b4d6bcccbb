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
	for index, f := range map[string]PointFilter{
		"points_by_computer":   {Computer: "web1", Job: "docs", Repository: "main", Whole: true, Limit: 1},
		"points_by_repository": {Repository: "main"},
	} {
		query, args := f.query()
		rows, err := db.Read().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
		steps, err := collect(rows, err, func(r *sql.Rows) (detail string, err error) {
			var id, parent, unused int
			return detail, r.Scan(&id, &parent, &unused, &detail)
		})
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(steps, "; "); !strings.Contains(plan, index) {
			t.Errorf("%+v is found by %s", f, plan)
		}
	}
}
