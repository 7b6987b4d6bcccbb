package job_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"keepward/internal/job"
)

func TestEveryStatusHasARowAndAResult(t *testing.T) {
	if len(job.Statuses) != 18 {
		t.Errorf("%d statuses, the design has 18", len(job.Statuses))
	}
	seen := map[job.Status]bool{}
	for _, r := range job.Statuses {
		if seen[r.Status] {
			t.Errorf("%s twice", r.Status)
		}
		seen[r.Status] = true
		if r.Status.Final() != (r.Status.Result() != job.ResultNone) {
			t.Errorf("%s: final %v, result %s", r.Status, r.Status.Final(), r.Status.Result())
		}
		if r.Status.Final() && r.Status.MayHold() {
			t.Errorf("%s is over and may hold resources", r.Status)
		}
		if !r.Status.Final() && r.Status.LeftResult() {
			t.Errorf("%s is not over and left a result", r.Status)
		}
	}
	if job.Status("Done").Known() || job.Status("Done").Final() {
		t.Error("an unknown status is taken for one")
	}
}

func TestMovesKeepTheShapeOfALife(t *testing.T) {
	seen := map[[2]job.Status]bool{}
	for _, m := range job.Transitions {
		key := [2]job.Status{m.From, m.To}
		if seen[key] {
			t.Errorf("%s to %s twice", m.From, m.To)
		}
		seen[key] = true
		if m.From != job.None && !m.From.Known() || !m.To.Known() {
			t.Errorf("%s to %s: not both are statuses", m.From, m.To)
		}
		if m.From.Final() {
			t.Errorf("%s is final and moves to %s", m.From, m.To)
		}
		if m.From == m.To || m.Cause == "" {
			t.Errorf("%s to %s: not a move with a cause", m.From, m.To)
		}
	}
	for _, r := range job.Statuses {
		s := r.Status
		if s.Final() || s == job.KillPending {
			continue
		}
		if !job.CanMove(s, job.KillPending) {
			t.Errorf("%s cannot be killed", s)
		}
	}
	if job.CanMove(job.Completed, job.Running) || job.CanMove(job.Running, job.Running) || job.CanMove(job.None, job.Running) {
		t.Error("a move is allowed that the table does not have")
	}
}

// TestEveryLifeEnds walks at random through the table: from wherever a task gets to,
// a final status can still be reached, and every status is somewhere on a way.
func TestEveryLifeEnds(t *testing.T) {
	next := map[job.Status][]job.Status{}
	for _, m := range job.Transitions {
		next[m.From] = append(next[m.From], m.To)
	}
	reached := map[job.Status]bool{}
	var visit func(job.Status)
	visit = func(s job.Status) {
		for _, n := range next[s] {
			if !reached[n] {
				reached[n] = true
				visit(n)
			}
		}
	}
	visit(job.None)
	for _, r := range job.Statuses {
		if !reached[r.Status] {
			t.Errorf("no way leads to %s", r.Status)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := job.None
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if s.Final() {
				break
			}
			to := rapid.SampledFrom(next[s]).Draw(t, "to")
			if !job.CanMove(s, to) || job.Cause(s, to) == "" {
				t.Fatalf("%s to %s is in the table and not allowed", s, to)
			}
			s = to
		}
		if s.Final() {
			return
		}
		if s != job.KillPending {
			s = job.KillPending
		}
		if !slices.ContainsFunc(next[s], job.Status.Final) {
			t.Fatalf("no way out of %s", s)
		}
	})
}

func TestSessionStatus(t *testing.T) {
	tests := []struct {
		name  string
		tasks []job.Status
		want  job.Status
	}{
		{"no task", nil, job.FailedToStart},
		{"one runs", []job.Status{job.Completed, job.Waiting, job.Running}, job.Running},
		{"unverified before leaving", []job.Status{job.KillPending, job.RunningUnverified}, job.RunningUnverified},
		{"interrupted shows where it goes", []job.Status{job.Interrupted, job.Pending}, job.Waiting},
		{"waiting before pending", []job.Status{job.Pending, job.Waiting, job.Queued}, job.Waiting},
		{"suspended is last", []job.Status{job.Suspended, job.Queued}, job.Queued},
		{"one not over", []job.Status{job.Failed, job.Suspended}, job.Suspended},
		{"all completed", []job.Status{job.Completed, job.Completed}, job.Completed},
		{"warnings", []job.Status{job.Completed, job.CompletedWithWarnings}, job.CompletedWithWarnings},
		{"errors over warnings", []job.Status{job.CompletedWithErrors, job.CompletedWithWarnings}, job.CompletedWithErrors},
		{"one failed", []job.Status{job.Completed, job.Failed}, job.CompletedWithErrors},
		{"one killed", []job.Status{job.CompletedWithWarnings, job.Killed}, job.CompletedWithErrors},
		{"one committed", []job.Status{job.Completed, job.Committed}, job.CompletedWithErrors},
		{"all killed", []job.Status{job.Killed, job.Killed}, job.Killed},
		{"all committed", []job.Status{job.Committed}, job.Committed},
		{"none left a point", []job.Status{job.Killed, job.Failed, job.FailedToStart}, job.Failed},
		{"all refused", []job.Status{job.FailedToStart}, job.FailedToStart},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := job.SessionStatus(tt.tasks); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// TestSessionStatusModel holds the derivation to its promises for any set of tasks.
func TestSessionStatusModel(t *testing.T) {
	all := make([]job.Status, len(job.Statuses))
	for i, r := range job.Statuses {
		all[i] = r.Status
	}
	rapid.Check(t, func(t *rapid.T) {
		tasks := rapid.SliceOfN(rapid.SampledFrom(all), 1, 8).Draw(t, "tasks")
		got := job.SessionStatus(tasks)
		if !got.Known() {
			t.Fatalf("%v: %q is no status", tasks, got)
		}
		over, left, success := true, false, true
		for _, s := range tasks {
			over = over && s.Final()
			left = left || s.LeftResult()
			success = success && s == job.Completed
		}
		if got.Final() != over {
			t.Fatalf("%v: %q, but all over is %v", tasks, got, over)
		}
		if over && (got == job.Completed) != success {
			t.Fatalf("%v: %q", tasks, got)
		}
		if over && got.LeftResult() != left {
			t.Fatalf("%v: %q, but a result is left: %v", tasks, got, left)
		}
		reversed := slices.Clone(tasks)
		slices.Reverse(reversed)
		if again := job.SessionStatus(reversed); again != got {
			t.Fatalf("%v: the order of tasks matters: %q, %q", tasks, got, again)
		}
		if one := job.SessionStatus(append(tasks, tasks...)); one != got {
			t.Fatalf("%v: the number of tasks matters: %q, %q", tasks, got, one)
		}
	})
}

func TestEnded(t *testing.T) {
	for _, tt := range []struct {
		errors, warnings int64
		want             job.Status
	}{{0, 0, job.Completed}, {0, 2, job.CompletedWithWarnings}, {1, 2, job.CompletedWithErrors}} {
		if got := job.Ended(tt.errors, tt.warnings); got != tt.want {
			t.Errorf("%d errors, %d warnings: %q, want %q", tt.errors, tt.warnings, got, tt.want)
		}
	}
}

func TestDefaultPrioritiesOfTheDesign(t *testing.T) {
	for typ, want := range map[job.Type]int{job.Restore: 66, job.Backup: 166, job.Copy: 366, job.SyntheticFull: 966, job.RebuildIndex: 266} {
		if got := job.DefaultPriority(typ); got != want {
			t.Errorf("%s: %03d, want %03d", typ, got, want)
		}
	}
	d := job.Digits{Operation: 1, Client: 2, Agent: 3}
	if d.Priority(job.ClientFirst) != 123 || d.Priority(job.AgentFirst) != 132 || d.High().Priority(job.ClientFirst) != 103 {
		t.Errorf("digits are in the wrong order: %d, %d, %d", d.Priority(job.ClientFirst), d.Priority(job.AgentFirst), d.High().Priority(job.ClientFirst))
	}
	if err := (job.Digits{Client: 10}).Valid(); err == nil || !strings.Contains(err.Error(), "client") {
		t.Errorf("a digit of 10 is taken: %v", err)
	}
	if err := d.Valid(); err != nil {
		t.Error(err)
	}
}

func TestJobTypes(t *testing.T) {
	reserved := map[job.Type]int{}
	for _, r := range job.Reservations {
		for _, typ := range r.Types {
			reserved[typ]++
		}
	}
	for _, r := range job.Types {
		if len(r.Phases) == 0 || r.Title == "" || r.Operation < 0 || r.Operation > 9 {
			t.Errorf("%s: incomplete row", r.Type)
		}
		if reserved[r.Type] != 1 {
			t.Errorf("%s is in %d rows of reservations, want 1", r.Type, reserved[r.Type])
		}
		for _, p := range r.Phases {
			if p.Preemptable && !p.Restartable {
				t.Errorf("%s, %s: preemptable implies restartable", r.Type, p.Name)
			}
			if found, ok := r.Type.Phase(p.Name); !ok || found != p {
				t.Errorf("%s: phase %s is not found", r.Type, p.Name)
			}
		}
		delete(reserved, r.Type)
	}
	for typ := range reserved {
		t.Errorf("%s has a reservation and no row", typ)
	}
	if p, _ := job.Backup.Phase(job.PhaseTransfer); !p.Preemptable {
		t.Error("the transfer of a file backup must be preemptable")
	}
	if job.Type("party").Known() {
		t.Error("an unknown job type is taken for one")
	}
}

func TestLackingInfrastructureAndContention(t *testing.T) {
	e1, e2 := job.Because(job.TransportOffline, "store1"), job.Because(job.StreamsShort, "main", "1", "0")
	preempted := job.Because(job.NoResources)
	for _, tt := range []struct {
		typ    job.Type
		e1, e2 job.Status
	}{
		{job.Backup, job.Waiting, job.Waiting},
		{job.Restore, job.Pending, job.Pending},
		{job.RestoreDB, job.Failed, job.Running},
		{job.IndexRestore, job.Pending, job.Waiting},
	} {
		a := tt.typ.Reservation().A
		got := []job.Status{a.StatusFor(e1), a.StatusFor(e2), a.StatusFor(preempted)}
		if d := cmp.Diff([]job.Status{tt.e1, tt.e2, tt.e2}, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.typ, d)
		}
	}
	if job.Backup.Reservation().B != nil || job.SyntheticFull.Reservation().B == nil {
		t.Error("the second step is at the wrong job types")
	}
}

func TestAgentsOfTheSourceText(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range job.Agents {
		key := r.Agent + "/" + string(r.Operation) + "/" + r.Phase
		if seen[key] {
			t.Errorf("%s twice", key)
		}
		seen[key] = true
		if r.Preemptable && !r.Restartable {
			t.Errorf("%s: preemptable implies restartable", key)
		}
	}
	for agent, want := range map[string]bool{"MariaDB": true, "PostgreSQL": true, "Sybase": true, "Informix": false, "OSSV": false, "Recovery Director": false, "GroupWise DB on OES": false} {
		if r, ok := job.AgentPhase(agent, job.OperationData, job.PhaseTransfer); !ok || r.Preemptable != want {
			t.Errorf("%s: preemptable %v, want %v", agent, r.Preemptable, want)
		}
	}
	if r, ok := job.AgentPhase("Oracle", job.OperationSelectiveOnline, job.PhaseTransfer); !ok || r.Preemptable || r.Restartable {
		t.Errorf("a selective online backup must be neither: %+v", r)
	}
}

func TestReasonsHaveSentencesThatUseAllTheirArguments(t *testing.T) {
	if len(job.Reasons) != 63 {
		t.Errorf("%d codes, want the 59 of jobs.md, SERVER_LIMIT, KEPT_FOR_SESSION, ON_BATTERY and METERED_NETWORK", len(job.Reasons))
	}
	seen := map[job.Code]bool{}
	for _, r := range job.Reasons {
		if seen[r.Code] {
			t.Errorf("%s twice", r.Code)
		}
		seen[r.Code] = true
		values := make([]string, len(r.Args))
		for i, name := range r.Args {
			values[i] = "<" + name + ">"
		}
		text := job.Because(r.Code, values...).Text()
		for _, v := range values {
			if !strings.Contains(text, v) {
				t.Errorf("%s: the sentence %q hides %s", r.Code, text, v)
			}
		}
		if strings.ContainsAny(text, "{}") {
			t.Errorf("%s: %q names an argument that it has not", r.Code, text)
		}
	}
}

func TestReasonText(t *testing.T) {
	tests := []struct {
		reason job.Reason
		want   string
	}{
		{job.Reason{}, "no delay"},
		{job.Because(job.NoReason), "no delay"},
		{job.Because(job.WaitingForSessions, "3, 7"), "waiting for sessions [3, 7] to release the resources"},
		{job.Because(job.StreamsShort, "main", "2", "1"), "not enough streams of main: 2 needed, 1 free"},
		{job.Because(job.StreamsShort, "main"), "not enough streams of main: ? needed, ? free"},
		{job.Because(job.HostOffline, "{host}"), "host {host} is offline"},
		{job.Because("MOON_PHASE", "full"), "MOON_PHASE full"},
	}
	for _, tt := range tests {
		if got := tt.reason.Text(); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.reason, got, tt.want)
		}
	}
}

func TestAttempts(t *testing.T) {
	if job.Backup.Attempts() != 10 || job.Restore.Attempts() != 144 {
		t.Errorf("backup %d, restore %d", job.Backup.Attempts(), job.Restore.Attempts())
	}
}
