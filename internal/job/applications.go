package job

// Kinds of applications. The texts are stored and sent: never rename one.
const (
	PostgreSQL = "postgresql"
	MariaDB    = "mariadb"
)

// What becomes of a backup whose application cannot be protected.
const (
	ApplicationRequire = "require"
	ApplicationTry     = "try"
	ApplicationDisable = "disable"
)

// ApplicationModes are those, the default first.
var ApplicationModes = []string{ApplicationRequire, ApplicationTry, ApplicationDisable}

// DefaultApplicationName is what an instance is called that has no name of its own.
const DefaultApplicationName = "main"

// ApplicationFolder is the directory of a restore point that has the applications of a computer, one
// folder each: kind, name, and in it files and more. No file system has a directory of this name at
// its root by itself.
const ApplicationFolder = "~applications"

// ApplicationSetting is something that can be set for an application of a kind.
type ApplicationSetting struct {
	Name    string
	Default string
	// Choices are what it may be; none: any text.
	Choices []string
	Meaning string
	// Restore: it is for restores only, and no part of a job.
	Restore bool
}

// ApplicationRow is what there is to know of one kind.
type ApplicationRow struct {
	Kind string
	// Agent is its name in Agents.
	Agent    string
	Settings []ApplicationSetting
}

// Applications has one row for every kind.
var Applications = []ApplicationRow{
	{MariaDB, "MariaDB", []ApplicationSetting{
		{Name: "log", Default: "keep", Choices: []string{"keep", "none"}, Meaning: "keep: each point has the binary logs, for a restore to a point in time; none: it has the state of the backup alone"},
		{Name: "programs", Meaning: "the directory of the programs of MariaDB; empty: where packages put them"},
		{Name: "scratch", Meaning: "the directory for the copy that is made where there is no snapshot; empty: the agent's data directory"},
		{Name: "timeout", Default: "1h", Meaning: "how long recovery may take", Restore: true},
		{Name: "tls", Default: "prefer", Choices: []string{"disable", "prefer", "require", "verify-full"}, Meaning: "over TCP"},
	}},
	{PostgreSQL, "PostgreSQL", []ApplicationSetting{
		{Name: "database", Default: "postgres", Meaning: "the database that the agent connects to"},
		{Name: "log", Default: "keep", Choices: []string{"keep", "none"}, Meaning: "keep: the log between two backups is kept for a restore to a point in time, by a replication slot; none: each backup has what itself needs"},
		{Name: "tls", Default: "prefer", Choices: []string{"disable", "prefer", "require", "verify-full"}, Meaning: "over TCP, as sslmode has it"},
		{Name: "programs", Meaning: "the directory of the server's programs; empty: where packages put them", Restore: true},
		{Name: "timeout", Default: "1h", Meaning: "how long recovery may take", Restore: true},
	}},
}

// Application is the row of a kind; false: there is none.
func Application(kind string) (ApplicationRow, bool) {
	for _, r := range Applications {
		if r.Kind == kind {
			return r, true
		}
	}
	return ApplicationRow{}, false
}

// Setting is the row of a setting; false: the kind has none of that name.
func (r ApplicationRow) Setting(name string) (ApplicationSetting, bool) {
	for _, s := range r.Settings {
		if s.Name == name {
			return s, true
		}
	}
	return ApplicationSetting{}, false
}
