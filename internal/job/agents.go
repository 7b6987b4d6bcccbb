package job

// Operation is what a kind of agent does for a backup.
type Operation string

// The operations.
const (
	OperationData            Operation = "data"
	OperationLog             Operation = "log, while a selective online backup runs"
	OperationSelectiveOnline Operation = "selective online"
)

// AgentRow says for one kind of agent and one operation whether a phase may be
// preempted and restarted. An operator can change one row without the others.
type AgentRow struct {
	Agent       string
	Database    bool
	Operation   Operation
	Phase       string
	Preemptable bool
	Restartable bool
	Implemented bool
}

// Agents has one row for every kind of agent, operation and phase.
var Agents = agentRows()

// databaseAgents can be stopped in the middle of their data, and go on.
var databaseAgents = []string{
	"DB2", "DB2 MultiNode", "MariaDB", "MySQL", "Oracle", "Oracle RAC", "PostgreSQL", "SAP for MaxDB",
	"SAP for Oracle", "SAP HANA", "SQL Server", "Sybase",
}

// wholeAgents cannot be stopped: they go through to the end or fail.
var wholeAgents = []struct {
	name     string
	database bool
}{{"GroupWise DB on OES", true}, {"Informix", true}, {"OSSV", false}, {"Recovery Director", false}}

// otherAgents are preemptable and no database in this sense.
var otherAgents = []string{
	"Active Directory", "AIX File System", "Azure AD", "Azure Web App", "Big Data Apps", "Cloud Apps",
	"Continuous Data Replicator", "Documentum", "Domino Mailbox Archiver", "DPM", "Exchange Compliance Archiver",
	"Exchange Database", "Exchange Mailbox", "Exchange Mailbox (Classic)", "Exchange Mailbox Archiver",
	"Exchange PF Archiver", "Exchange Public Folder", "Exchange Web Folder", "External Data Connector",
	"File Share Archiver", "FreeBSD", "HP-UX 64bit File System", "HP-UX File System", "Image Level",
	"Image Level On Unix", "Image Level ProxyHost", "Image Level ProxyHost on Unix", "Linux File System",
	"MAC FileSystem", "MS SharePoint Archiver", "NDMP", "Notes Database", "Notes Document", "Object Link",
	"Object Store", "OES File System on Linux", "Proxy Client File System", "ProxyHost", "ProxyHost on Unix",
	"SharePoint Server", "Solaris 64bit File System", "Solaris File System", "Unix File Archiver",
	"Unix Notes Database", "Unix Notes Document", "Unix Tru64 64-bit File System", "Virtual Server",
	"Windows File Archiver", "Windows File System",
}

// implementedAgents are those that Keepward has.
var implementedAgents = map[string]bool{"Linux File System": true, "MariaDB": true, "PostgreSQL": true}

func agentRows() []AgentRow {
	var rows []AgentRow
	add := func(name string, database bool, op Operation, preempt, restart bool) {
		rows = append(rows, AgentRow{name, database, op, PhaseTransfer, preempt, restart, implementedAgents[name]})
	}
	for _, n := range databaseAgents {
		add(n, true, OperationData, true, true)
		add(n, true, OperationSelectiveOnline, false, false)
		add(n, true, OperationLog, false, false)
	}
	for _, w := range wholeAgents {
		add(w.name, w.database, OperationData, false, true)
	}
	for _, n := range otherAgents {
		add(n, false, OperationData, true, true)
	}
	return rows
}

// AgentPhase finds the row of an agent, operation and phase.
func AgentPhase(agent string, op Operation, phase string) (AgentRow, bool) {
	for _, r := range Agents {
		if r.Agent == agent && r.Operation == op && r.Phase == phase {
			return r, true
		}
	}
	return AgentRow{}, false
}
