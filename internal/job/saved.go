package job

// Saved are the types that a saved job may be of, the usual one first.
var Saved = []Type{Backup, Verify, Retention, Sweep, Reconcile, ServerBackup}

// ServerComputer is whose restore points those of a server backup are. No computer can join
// under it: names begin with a letter or a digit.
const ServerComputer = "_server"

// MakesPoint tells whether a task of t leaves a restore point, so that its attempts are fenced.
func (t Type) MakesPoint() bool { return t == Backup || t == ServerBackup }
