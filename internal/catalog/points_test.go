package catalog

import (
	"database/sql"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

// A repository has the points of thousands of computers: whose computer is known is not looked for
// among them.
func TestThePointsOfAComputerAreFoundByTheComputer(t *testing.T) {
	db := openTest(t)
	of, ofArgs := PointFilter{Computer: "web1", Job: "docs", Repository: "main"}.query()
	pair, pairArgs := PointFilter{Pair: &Pair{"web1", "docs"}, Bare: true}.query()
	made, madeArgs := PointFilter{Job: "docs", Limit: 200}.query()
	all, allArgs := PointFilter{Repository: "main"}.query()
	next, nextArgs := PointFilter{Behind: pointAt(100, 7, "a"), Limit: 10}.query()
	for _, c := range []struct {
		index, query string
		args         []any
	}{
		{"points_by_computer", of, ofArgs},
		{"points_by_computer", parentPoint, []any{"web1", "docs", "main"}},
		{"points_by_repository", all, allArgs},
		{"points_by_computer", pair, pairArgs},
		{"points_by_job", made, madeArgs},
		{"points_by_time (time<?)", next, nextArgs}, // a page in the middle of millions does not begin with the first
	} {
		foundBy(t, db, c.index, c.query, c.args...)
	}
}

func pointAt(second, session int64, id string) *keepwardv1.Point {
	return &keepwardv1.Point{Id: id, Computer: "web1", Job: "docs", Repository: "main", Session: session, Time: timestamppb.New(time.Unix(second, 0))}
}

// Page after page is the whole list, each point once, also of points that were made at the same time.
func TestPagesOfPointsAreTheWholeList(t *testing.T) {
	db := openTest(t)
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		for _, p := range []*keepwardv1.Point{pointAt(9, 1, "a"), pointAt(9, 2, "b"), pointAt(9, 2, "c"), pointAt(8, 5, "d"), pointAt(10, 1, "e")} {
			if err := AddPoint(t.Context(), tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, f := "", PointFilter{Limit: 1}
	for range 10 {
		page, err := Points(t.Context(), db.Read(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got, f.Behind = got+page[0].GetId(), page[0]
	}
	if got != "ebcad" {
		t.Errorf("page after page gives %s", got)
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
