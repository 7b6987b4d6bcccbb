package catalog

import (
	"strings"
	"testing"
)

// A scrape comes every few seconds: what it asks for is found by an index, whatever there is.
func TestWhatMetricsAskIsAnsweredFromIndexes(t *testing.T) {
	db := openTest(t)
	for query, index := range map[string]string{
		`SELECT type, status, count(*) FROM sessions WHERE ended = 0 GROUP BY type, status`: "sessions_by_end (ended=?)",
		`SELECT id, job, type, status, started, ended FROM sessions WHERE ended >= 5`:       "sessions_by_end",
		`SELECT * FROM sessions WHERE job = 'docs' ORDER BY id DESC LIMIT 9`:                "sessions_by_job",
		strings.ReplaceAll(newestSessions, "?1", "4"):                                       "sessions_by_job (job=? AND id>?)",
		`SELECT progress_json FROM tasks WHERE session = 5`:                                 "(session=?)",
		`SELECT name, coalesce((SELECT time FROM points
			WHERE computer = computers.name AND partial = 0 AND deleted = 0 ORDER BY time DESC LIMIT 1), 0) FROM computers`: "points_by_computer",
	} {
		rows, err := db.Read().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+query)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, detail)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.Join(plan, "\n"), index) {
			t.Errorf("%s\n is not answered by %s:\n%s", query, index, strings.Join(plan, "\n"))
		}
	}
}
