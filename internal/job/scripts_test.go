package job_test

import (
	"bytes"
	"strings"
	"testing"

	"keepward/internal/job"
)

func scripts(b *bytes.Buffer) {
	b.WriteString("\n## Scripts\n\nThe programs of a job, in the order in which they run. A failure of one that gates fails the task, unless its `go_on` is set; that of the\n" +
		"others is a warning. The time limit is " + job.DefaultScriptLimit.String() + ", or what the job says, up to " + job.MaxScriptLimit.String() + ".\n\n")
	var rows [][]string
	for _, r := range job.Scripts {
		where, gates := "computer", "no"
		if r.OnServer {
			where = "server"
		}
		if r.Gates {
			gates = "yes"
		}
		rows = append(rows, []string{string(r.Place), "`" + r.Field + "`", where, r.When, r.Runs, gates})
	}
	table(b, "place|field of the job|runs on|when|how often|gates", rows)
	b.WriteString("\nEnvironment variables that a script finds beside those of the process that starts it:\n\n")
	rows = nil
	for _, v := range job.ScriptVariables {
		rows = append(rows, []string{"`" + v.Name + "`", v.Meaning, v.Only})
	}
	table(b, "variable|meaning|only", rows)
}

func TestPlacesOfScriptsAreAsDesigned(t *testing.T) {
	var order []string
	for _, r := range job.Scripts {
		order = append(order, string(r.Place))
		if r.Field != strings.ReplaceAll(string(r.Place), "-", "_") {
			t.Errorf("%s is called %s in the configuration", r.Place, r.Field)
		}
		if !r.Place.Known() || r.Place.Row() != r {
			t.Errorf("%s does not find its row", r.Place)
		}
		if before := strings.HasSuffix(string(r.Place), "-before") || r.Place == job.PreFreeze; r.Gates != before {
			t.Errorf("%s gates: %v", r.Place, r.Gates)
		}
	}
	const want = "server-before agent-before pre-freeze post-thaw agent-after server-after"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("scripts run as %s, want %s", got, want)
	}
	if job.Place("elsewhere").Known() || job.Place("").Known() {
		t.Error("a place is known that has no row")
	}
	for _, v := range job.ScriptVariables {
		if !strings.HasPrefix(v.Name, job.VarPrefix) {
			t.Errorf("%s does not begin with %s", v.Name, job.VarPrefix)
		}
	}
}
