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
	pair, pairArgs := PointFilter{Pair: &Pair{"web1", "docs"}, Bare: true}.query()
	made, madeArgs := PointFilter{Job: "docs", Limit: 200}.query()
	all, allArgs := PointFilter{Repository: "main"}.query()
	for _, c := range []struct {
		index, query string
		args         []any
	}{
		{"points_by_computer", of, ofArgs},
		{"points_by_computer", parentPoint, []any{"web1", "docs", "main"}},
		{"points_by_repository", all, allArgs},
		{"points_by_computer", pair, pairArgs},
		{"points_by_job", made, madeArgs},
	} {
		foundBy(t, db, c.index, c.query, c.args...)
	}
}

// foundBy looks that a statement goes by an index.
func foundBy(t *testing.T, db *DB, index, query string, args ...any) {
	t.Helper()
	rows, err := db.Read().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query, args...)
	steps, err := collect(rows, err, func(r *sql.Rows) (detail string, err error) {
		var id, parent, unused int
		return detail, r.Scan(&id, &parent, &unused, &detail)
	})
	if err != nil {
		t.Fatal(err)
	}
	if plan := strings.Join(steps, "; "); !strings.Contains(plan, index) {
		t.Errorf("%s is found by %s", query, plan)
	}
}

// What was issued to an agent is asked for at each change of the configuration, for each of thousands.
func TestWhatWasIssuedToAComputerIsFoundByTheComputer(t *testing.T) {
	query, args := standingPoliciesQuery("web1")
	foundBy(t, openTest(t), "standing_policies_computer", query, args...)
}
