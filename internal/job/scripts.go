package job

import "time"

// DefaultScriptLimit is how long a script may run, where its job does not say.
const DefaultScriptLimit = 10 * time.Minute

// MaxScriptLimit is the longest time limit of a script: what takes longer is no step of a backup.
const MaxScriptLimit = 24 * time.Hour

// Place is where in the life of a job a script runs. The texts are stored and sent: never
// rename one.
type Place string

// The places that have a row in Scripts.
const (
	ServerBefore Place = "server-before"
	AgentBefore  Place = "agent-before"
	PreFreeze    Place = "pre-freeze"
	PostThaw     Place = "post-thaw"
	AgentAfter   Place = "agent-after"
	ServerAfter  Place = "server-after"
)

// ScriptRow is what there is to know of one place.
type ScriptRow struct {
	Place Place
	// Field is its name in the configuration.
	Field string
	// OnServer: it runs on the server, once for all computers; else on the computer of the task.
	OnServer bool
	// Gates: its failure ends the task, unless it is told otherwise. That of the others is a warning.
	Gates bool
	When  string
	Runs  string
}

// Scripts has one row for every place, in the order in which they run.
var Scripts = []ScriptRow{
	{ServerBefore, "server_before", true, true, "before the first computer of the session begins; nothing is reserved yet", "at most once a session"},
	{AgentBefore, "agent_before", false, true, "before the computer's backup asks for its resources", "at most once a task"},
	{PreFreeze, "pre_freeze", false, true, "agent and mover are connected, nothing is read yet", "once for each try to take the state of the computer"},
	{PostThaw, "post_thaw", false, false, "right after pre-freeze, whatever became of it", "at least once for each pre-freeze that was started"},
	{AgentAfter, "agent_after", false, false, "when the computer's backup is over: done, failed or killed", "at most once a task"},
	{ServerAfter, "server_after", true, false, "when the backup of the last computer is over", "at most once a session"},
}

// Row is the row of p; the zero row when p is no place.
func (p Place) Row() ScriptRow {
	for _, r := range Scripts {
		if r.Place == p {
			return r
		}
	}
	return ScriptRow{}
}

// Known says whether p is a row of Scripts.
func (p Place) Known() bool { return p.Row().Place != "" }

// ScriptVariable is an environment variable that a script finds.
type ScriptVariable struct {
	Name    string
	Meaning string
	// Only says at which places it is set; empty: at all.
	Only string
}

// The names of variables.
const (
	VarPlace      = "KEEPWARD_PLACE"
	VarJob        = "KEEPWARD_JOB"
	VarSession    = "KEEPWARD_SESSION"
	VarRepository = "KEEPWARD_REPOSITORY"
	VarFull       = "KEEPWARD_FULL"
	VarStartedBy  = "KEEPWARD_STARTED_BY"
	VarComputers  = "KEEPWARD_COMPUTERS"
	VarComputer   = "KEEPWARD_COMPUTER"
	VarTask       = "KEEPWARD_TASK"
	VarStatus     = "KEEPWARD_STATUS"
	VarResult     = "KEEPWARD_RESULT"
	VarFailure    = "KEEPWARD_FAILURE"
	VarPoint      = "KEEPWARD_POINT"
)

// VarPrefix is what the names of all variables begin with. No variable of the role's own
// environment that begins so reaches a script: there may be secrets among them.
const VarPrefix = "KEEPWARD_"

// ScriptVariables has one row for every variable.
var ScriptVariables = []ScriptVariable{
	{VarPlace, "the place of the script, as in the table above", ""},
	{VarJob, "the name of the job", ""},
	{VarSession, "the number of the session", ""},
	{VarRepository, "the name of the repository", ""},
	{VarFull, "1 if all is read, else 0", ""},
	{VarStartedBy, "the user who started the session, or schedule", ""},
	{VarComputers, "the computers of the session, separated by spaces", "server"},
	{VarComputer, "the computer", "agent"},
	{VarTask, "the id of the task", "agent"},
	{VarStatus, "how the task ends (of the server: the session), for instance Completed or Killed", "after"},
	{VarResult, "the same in one word: Success, Warning or Failed", "after"},
	{VarFailure, "why it failed, in one sentence; empty if it did not", "after"},
	{VarPoint, "the id of the restore point; empty if there is none", "agent-after"},
}
