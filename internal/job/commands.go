package job

import "time"

// CommandFolder is the directory of a restore point that has what the commands of its job printed. No
// file system has a directory of this name at its root by itself.
const CommandFolder = "~commands"

// What becomes of a backup whose command fails.
const (
	CommandRequire = "require"
	CommandTry     = "try"
)

// CommandModes are those, the default first.
var CommandModes = []string{CommandRequire, CommandTry}

const (
	// DefaultCommandLimit is how long a command may run whose output is stored, or that gets a file,
	// where nobody says: a dump of a large database takes hours.
	DefaultCommandLimit = 12 * time.Hour
	// MaxCommandLimit is the longest limit.
	MaxCommandLimit = 7 * 24 * time.Hour
	// CommandsMost is how many commands a job has at most.
	CommandsMost = 64
)

// The variables that only commands find, beside those of scripts.
const (
	VarCommand = "KEEPWARD_COMMAND"
	VarFile    = "KEEPWARD_FILE"
	// Of the credential of a command: its user, and the number of the descriptor that its secret comes from.
	VarCredentialUser = "KEEPWARD_CREDENTIAL_USER"
	VarSecretFD       = "KEEPWARD_SECRET_FD"
)

// SecretFD is the descriptor from which a command reads the secret of its credential.
const SecretFD = 3
