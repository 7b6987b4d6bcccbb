package job

// Who manages a job: who decides when it runs, and starts it.
const (
	// ModeServer: the backup server.
	ModeServer = "server"
	// ModeAgent: the agent of each computer, also while the server is away.
	ModeAgent = "agent"
)
