package errs_test

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/errors.md")

const page = "../../docs/errors.md"

// areas says, for the first word of a code, what it is about and what to do.
var areas = map[string]string{
	"access":              "Who may call the server. Log in again with `keepward login`, or ask an administrator for a role that may.",
	"api-token":           "Tokens by which programs call the API; see operator/access.md.",
	"approval":            "What a second administrator must approve: see operator/access.md and `keepward approval list`.",
	"audit":               "The audit log: see operator/access.md, and formats/audit.md for what a broken one means.",
	"activity":            "Activities that can be switched off; see `keepward activity list`.",
	"application":         "An application of a computer, such as a database; see user/postgresql.md and user/mariadb.md.",
	"agent":               "The agent of a computer: away, ended or stopping. Look whether it runs and reaches the server; the task is tried again by itself.",
	"arrival":             "What a computer stored is not what it said it would be, and the repository proves it at arrival. Nothing of the attempt counts. Test the memory of the computer that is named, then run the job again.",
	"attempt":             "One try at a task. An attempt that was cut off can never commit; a new one follows by itself.",
	"backup":              "A backup as a whole.",
	"browse":              "Looking into restore points. Ask again; if it stays, look whether the transport service of the repository is online.",
	"bundle":              "A bundle of small files in the repository is damaged. Run `keepward repository check NAME --read-data` to see what needs it.",
	"ca":                  "The certificate authority in the server's data directory. Put the directory back from its copy; a new authority means that every node joins again.",
	"call":                "A call between server and node by somebody who may not make it.",
	"catalog":             "The server's database. A schema that is newer wants a newer program; one that cannot be read wants its copy back.",
	"certificate":         "Somebody's certificate was not taken. A computer or transport that was removed has to join again with a new token.",
	"check":               "What a check of a repository found.",
	"checkpoint":          "What an unfinished attempt left. Without it the next attempt begins anew; nothing is lost.",
	"chunk":               "A chunk in the repository is missing or altered. Run `keepward repository check NAME --read-data`; it names the files that need it.",
	"client":              "The client file of the command line (`--config`), or the server that it names.",
	"clock":               "The server's clock has jumped, so nothing is deleted by it. Set it, or say that it is right: `keepward job retention resume`.",
	"command":             "The words of a command line. See its --help.",
	"commit":              "A backup could not be completed, so there is no restore point of it. It is tried again.",
	"config":              "The YAML documents of `keepward apply`. Nothing is applied while there is a fault.",
	"configuration":       "The configuration object of a repository. It is kept twice; `keepward repository check` says which copy is bad.",
	"connection":          "The data connection between agent and data mover. It is made again by itself; a refusal names who was not let in.",
	"content":             "Content of restore points that is read through the server, as the console's previews and downloads are; see user/restore.md.",
	"credential":          "The users and secrets that applications are opened with; see `keepward credential --help`.",
	"code":                "One-time codes at the login; see operator/access.md.",
	"datadir":             "The data directory of a role. Another process uses it, or it cannot be read or written.",
	"diff":                "Comparing restore points.",
	"dir":                 "A directory that a backup could not read.",
	"duration":            "A duration that cannot be read. Write 90s, 20m, 2h or 7d.",
	"entry":               "An entry of a file index is damaged.",
	"events":              "A session's log.",
	"exclude":             "A pattern of what to leave out; see user/filters.md.",
	"file":                "A file that a backup could not take as it was. The rest went on.",
	"package":             "A program that agents are updated with; see operator/updates.md.",
	"rollout":             "A version on its way to computers; see `keepward computer rollout list`.",
	"update":              "An update of an agent. The agent goes on as the version that it was; see operator/updates.md.",
	"find":                "The pattern of `keepward point find`.",
	"dry-run":             "Looking at what a backup would take; see `keepward job dry-run`.",
	"identity":            "The certificate and key in a node's data directory. Start it with its own directory, or join again with an empty one.",
	"include":             "The paths that a job takes; see user/filters.md.",
	"inode":               "An entry of a file index is missing.",
	"internal":            "A defect of Keepward. The log has more; please report it.",
	"computer":            "Computers, their tags and views.",
	"group":               "Protection groups, and the lists that they read. See [groups](user/groups.md).",
	"job":                 "The definition of a job.",
	"join":                "Joining the server with a token. A token works once, for one role and name, for a limited time: make a new one with `keepward token create`.",
	"join-token":          "Join tokens.",
	"key":                 "The key objects of a repository.",
	"level":               "What a rule of the queue is about: `server`, `computer/NAME`, or for a limit `repository/NAME`.",
	"limit":               "How many sessions run at once; see `keepward limit list`.",
	"link":                "The link between a node and its server. It is made again by itself.",
	"listen":              "The port that a role listens on. Choose another with --listen, or look who has it.",
	"login":               "Logging in.",
	"mover":               "A data mover process. What it did is settled before a new attempt begins.",
	"name":                "Names of computers, jobs, repositories and the like: letters, digits, dots, dashes and underscores.",
	"mount":               "`keepward point mount`; see user/restore.md.",
	"notify":              "Who is told of what: targets, rules and templates; see operator/notifications.md.",
	"node":                "A node of a file index is damaged.",
	"only":                "A mask of the files that alone are taken; see user/filters.md.",
	"order":               "An order between server, transport and mover that is not taken. One of an older term comes from a server that was replaced.",
	"owner":               "Who may write to a repository. It belongs to one server at a time.",
	"pack":                "A pack in the repository is missing or damaged. Run `keepward repository check NAME --read-data`.",
	"parent":              "The restore point that an incremental backup compares with. Without it everything is read.",
	"path":                "A path that a restore point does not hold.",
	"peer":                "The other end cannot be reached.",
	"pem":                 "A certificate or key file that is not PEM.",
	"passkey":             "Passkeys at the login; see operator/access.md.",
	"parity":              "The parity of a pack, by which its damage is mended. It is made anew; nothing is lost by it.",
	"pair":                "Pairing of a waiting agent with its server. Compare the code with the one that the agent shows now, and do it again; see `keepward computer add`.",
	"point":               "A restore point: not found, not to be read by this task, or damaged.",
	"process":             "A process of this host.",
	"record":              "A record in the repository is damaged, or is not this repository's.",
	"recovery":            "The recovery key of a repository. Type it again, or use the file that `keepward repository recovery-key` wrote.",
	"repository":          "A repository as a whole: its directory, its space, its configuration.",
	"request":             "A data connection asked for what its task may not do.",
	"restore":             "A restore, or one file of it.",
	"retention":           "Which restore points of a job are kept; see user/retention.md.",
	"role":                "The role of a node: agent or transport.",
	"root":                "The root of a file index is damaged.",
	"seal":                "A sealed object does not open: it was altered, or the key is another one.",
	"secret":              "The server's own key file. Without it the keys in the catalog cannot be opened: put it back from its copy.",
	"selection":           "What the rules of a job leave out of what it includes; see user/filters.md.",
	"segment":             "An index segment is missing or damaged. `keepward repository rebuild-index NAME` makes it anew from the packs.",
	"server":              "The backup server: not reached, starting, or not answering.",
	"resource":            "Something that sessions must hold to run; see keepward resource list.",
	"session":             "A session that is not there, or is over.",
	"setting":             "Settings of the whole server; see `keepward setting list`.",
	"settings":            "Settings of the server.",
	"socket":              "A unix socket of a data mover. Its path may be too long: choose a shorter --data-dir.",
	"source":              "Reading files for a backup.",
	"status":              "A change of status.",
	"standing":            "An attempt that was issued to an agent beforehand, for a job that it manages; see user/managed-by-agent.md.",
	"storage":             "What lies below a repository.",
	"sweep":               "Giving back the space of what no restore point needs; see operator/maintenance.md.",
	"task":                "One task of a session.",
	"term":                "The term of a server: a newer server has taken over.",
	"tlv":                 "An object of a repository is damaged: the fields within it do not fit.",
	"token":               "A token that cannot be read.",
	"changes":             "How a backup knows what has changed; see user/tracking.md.",
	"tracker":             "Following what changes on a volume. Without it a backup looks at every file; see docs/decisions/trackers.md.",
	"report":              "Reports on a day or a week; see operator/notifications.md.",
	"notification-rule":   "Rules of who is told of what; see operator/notifications.md.",
	"notification-target": "Where notifications go; see operator/notifications.md.",
	"traffic-rule":        "Traffic rules; see operator/traffic.md.",
	"idempotency":         "Calls that are made with an `Idempotency-Key`; see reference/api/README.md.",
	"transport":           "The transport service of a repository host. Look whether it runs and reaches the server.",
	"tree":                "A file index is damaged.",
	"user":                "Users of the server and their passwords; see operator/access.md.",
	"priority":            "Digits of priorities; see `keepward priority list`.",
	"window":              "When sessions may run; see `keepward window list` and operator/queue.md.",
	"wire":                "The data connection's protocol.",
	"xattr":               "Extended attributes and ACLs of a file.",
	"generation":          "The list of packs that a sweep has condemned.",
	"ledger":              "A small object by which backups and sweeps agree: an open marker, a list of packs, a marker of a point. Sweep the repository; what cannot be read is given up, and nothing is deleted by it.",
	"proof":               "The record of when packs were proved. What is lost of it is proved again.",
	"benchmark":           "Measuring what a host can do: its sample, its directory, the names of its stages.",
	"epoch":               "The epochs of a repository's seal keys.",
	"reconcile":           "Comparing the index of a repository with its directory.",
	"server-backup":       "The server's backup of itself, and how it is put back; see operator/server-backup.md.",
	"signature":           "The signature of a large file, which the next backup compares with. Without it the file is read and stored as a new one.",
	"script":              "A script of a job; see user/scripts.md. The session's log has what it printed.",
	"sign-on":             "Single sign-on through a provider of OpenID Connect; see operator/access.md.",
	"snapshot":            "The snapshots that files are read from; see user/snapshots.md.",
	"scratch":             "A file for what a mover's memory does not hold. Look whether the disk of its data directory is full.",
	"command-source":      "A command whose output is a file of the point; see user/commands.md. The session's log has what it printed on standard error.",
	"command-target":      "A command that gets a file of a point; see user/commands.md. The session's log has what it printed.",
	"traffic":             "Traffic rules; see operator/traffic.md.",
}

// meanings are the sentences of codes that have none in a call of errs.New: events about
// single files, conditions, and codes that are put together elsewhere.
var meanings = map[string]string{
	"audit.broken":              "a row of the audit log was altered, taken out or put in",
	"audit.cut":                 "the audit log ends before the head that was given",
	"user.unknown":              "there is no user of that name",
	"job.application":           "an application of a job is not defined as it must be",
	"restore.application":       "what a restore of an application was asked for contradicts itself",
	"application.found":         "what kind of server it is, and where its files are",
	"application.protected":     "the restore point stands, and the application knows",
	"application.unprotected":   "the application could not be protected, and its files were taken as they are",
	"application.kept":          "the application could not be told that the restore point stands; the next backup does",
	"application.log-begins":    "from now on the server keeps its log for the next backup",
	"application.log-unbounded": "the server does not bound what it keeps for a backup that stays away, so nothing is kept",
	"application.log-none":      "the server writes no logs that could be kept for points in time",
	"application.log-filtered":  "the server's logs do not have the changes of all databases",
	"application.log-broken":    "a binary log cannot be read",
	"application.config":        "a configuration file is not in the restore point",
	"application.copied":        "there was no snapshot, so a copy was made and read",
	"application.played":        "how many logs the server was brought to its time by",
	"application.second":        "the time that was asked for had parts of a second, which logs do not know",
	"application.recovered":     "how far the server was recovered",
	"application.sound":         "all rows of a database were read, or all tables checked",
	"application.loaded":        "a database is in the server that runs",
	"application.left":          "a database that is not whole could not be removed again",
	"application.tablespace":    "where a tablespace lies now",
	"application.skipped":       "a later point was made without the application",
	"connection.direction":      "control is dialled by the agent or the server, data by the agent or the mover",
	"connection.exists":         "a computer of that name is there already",
	"connection.server":         "the name belongs to the server itself",
	"connection.address":        "an address is not HOST:PORT",
	"connection.no-address":     "the server is to dial an agent whose address is not given",
	"connection.addresses":      "a computer has more addresses than are tried",
	"connection.probe":          "a test of a connection that this node cannot make",
	"agent.unreachable":         "the mover is to dial the agent and did not reach it",
	"agent.not-listening":       "a mover is to dial the agent, which was started without --listen",
	"agent.not-joined":          "somebody dialled an agent that waits to be paired",
	"agent.no-address":          "a mover is to dial an agent whose address nobody knows",
	"mover.no-call":             "a mover that is to dial the agent did not",
	"call.unexpected":           "a mover dialled an agent that does not wait for it, or not yet",
	"call.expected":             "a task that waits for its mover was begun twice",
	"link.replaced":             "the other end made a new link in the place of this one",
	"pair.code":                 "the text is no pairing code, or has a slip of the pen",
	"pair.code-missing":         "the server is to dial an agent that was not paired",
	"pair.key":                  "whoever answers, or asks for a certificate, has not the key that the code names",
	"pair.refused":              "whoever came to pair has not proved the code",
	"pair.unfinished":           "the connection was lost while the agent took its identity",
	"pair.over":                 "the agent was paired with this code already",
	"pair.not-waiting":          "somebody came to pair with an agent that does not wait for it",
	"pair.certificate":          "the certificate is not one for the agent's key, role and name",
	"pair.authority":            "what came is no certificate of an authority",
	"pair.listen":               "an agent that is to be paired has no address to wait at",
	"pair.ended":                "the agent was told to end while it waited to be paired",
	"peer.no-address":           "no address is known to dial",
	"identity.no-server":        "the agent was paired and knows no address to dial",
	"job.overdue":               "a job has not run though its schedule says so",
	"computer.unprotected":      "a computer has no restore point of the last days",
	"repository.filling":        "a repository is nearly full, or will be soon as it grows",
	"approval.waiting":          "somebody asks for another administrator's approval",
	"certificate.ends":          "a certificate of the server ends soon",
	"notify.ca":                 "the certificates that the other side is to be trusted by are not PEM",
	"notify.field":              "a field of a target or rule is too long",
	"notify.mail":               "a mail target is not complete, or would show a password",
	"notify.plain":              "a webhook of plain http that nobody has said is meant",
	"notify.rule":               "a rule names no target, or what there is not",
	"notify.report":             "a report goes to no target, or its period or schedule cannot be one",
	"notify.secret":             "the secret of a target is missing, too short or not one line",
	"notify.target":             "a target must be either a webhook or mail",
	"notify.template":           "the template of a rule cannot be filled in for every event",
	"notify.undelivered":        "messages for a target do not arrive",
	"notify.url":                "the URL of a webhook is not https://HOST/PATH",
	"notify.used":               "a target that is to be deleted is named by a rule",
	"node.no-way":               "the node neither dials nor listens",
	"server.stopping":           "the server is shutting down",
	"command-source.name":       "something of the computer has the name of the folder of what commands print, and is left out",
	"command-source.started":    "a command is about to start whose output is a file of the point",
	"command-source.output":     "a line that a command printed on standard error",
	"command-source.done":       "a command ended well",
	"command-source.failed":     "a command did not start or did not end well, so there is nothing of its output in the point",
	"command-source.stopped":    "a command was ended with its task",
	"command-source.time-limit": "a command took longer than it may, and was ended",
	"command-target.started":    "a command is about to start that gets a file",
	"command-target.output":     "a line that a command printed which got a file",
	"command-target.done":       "a command that got a file ended well",
	"command-target.failed":     "a command that got a file did not start, or did not end well",
	"command-target.stopped":    "a command that got a file was ended before it had all",
	"command-target.time-limit": "a command that got a file took longer than it may, and was ended",
	"job.commands":              "a command of the job has a name that is none of a file, no absolute path, or a time limit out of bounds",
	"restore.command":           "a restore into a command wants one file and an absolute path of a program, and nothing about how files are written",
	"owner.damaged":             "an owner object is damaged; its name still tells the term",
	"tracker.busy":              "the file system refuses to tell what has changed, for now",
	"tracker.failed":            "a system call failed while changes were looked for",
	"tracker.other":             "the parent was made with another tracker",
	"tracker.no-snapshot":       "what changes on the volume is told by snapshots, and it is read without one",
	"tracker.not-whole":         "the volume's snapshots are not kept, or only a directory of it is mounted",
	"tracker.unproved":          "no tracker is proved to miss nothing on this type of file system",
	"snapshot.gone":             "the snapshot that was kept of the backup before is gone",
	"snapshot.changed":          "somebody wrote into the snapshot that was kept of the backup before",
	"snapshot.room":             "a snapshot is not kept for the next backup, because the volume is nearly full",
	"changes.too-many":          "more has changed than the tracker follows",
	"changes.told":              "how what changed on a volume is known, and how much it is",
	"changes.compared":          "every file of a volume is compared, and why",
	"changes.watched":           "how the next backup will know what changed on a volume",
	"changes.unknown":           "why the next backup will compare every file of a volume",
	"changes.checked":           "every file was compared, and all that differed had been told",
	"changes.missed":            "something differs from the restore point before, and nothing had told of it",
	"token.missing":             "the parent was made without a tracker",
	"token.unreadable":          "the parent's token is damaged or of a later version",
	"check.options":             "what a check was asked for contradicts itself, or is out of bounds",
	"restore.mismatch":          "what was read back after a restore is not what the point holds",
	"arrival.proved":            "all that a computer stored was opened before its point counted",
	"parity.damaged":            "the parity of a pack is damaged; its pack is good, and the next maintenance makes it anew",
	"parity.damaged-pack":       "a pack gets no parity, because it is damaged",
	"parity.made":               "packs got their parity, or that of packs that are gone was removed",
	"pack.good-again":           "chunks that were marked as damaged are good again, for instance because the pack was put back; backups rely on them again",
	"repository.days":           "so many days cannot be listed",
	"repository.parity":         "the percent of parity that packs get is out of bounds",
	"content.idle":              "nobody went on with a download for two minutes; a browser goes on where it was",
	"content.incomplete":        "not all of a file could be read when it was backed up; an earlier point may have it whole",
	"content.many":              "as many downloads are under way as the server lets be at once",
	"content.none":              "the server was started in a way that opens no content, as in a test",
	"content.process":           "the process that opens content for the server has ended; the server's log says more",
	"chunk.mended":              "a chunk is damaged where it lies, and parity made it good for whoever read it; a check with --read-data mends it for good",
	"repository.proofs":         "the settings of how content is proved are out of bounds",
	"server.paused":             "the server is paused: sessions stay in the queue until `keepward server resume`",
	"activity.disabled":         "an activity is switched off for the whole server",
	"window.shut":               "a window never opens: what it concerns stays in the queue",
	"window.not-submitted":      "a schedule was due while a window is closed that wants nothing started then",
	"job.connections":           "the number of data connections of a task is out of bounds",
	"job.on_battery":            "what a job does while its computer runs on a battery is neither run, wait, nor a charge such as 30%",
	"job.on_metered":            "what a job does while the network of its computer is metered is neither run nor wait",
	"job.processors":            "the number of processors that a job may keep busy is out of bounds",
	"job.full-read":             "the number of runs between full reads is out of bounds",
	"job.priority":              "the priority of a job is out of bounds, or stands beside high_priority",
	"priority.digit":            "a digit of priorities is from 0, which goes first, to 9",
	"repository.damaged":        "chunks are damaged and lie nowhere else; a full backup of the same files stores them again",
	"repository.proof-debt":     "content was not proved within the days that the repository asks for",
	"proof.unreadable":          "a record of which packs were proved is of a newer version",
	"proof.damaged":             "a record of which packs were proved is damaged; they are proved again",
	"chunk.unreadable":          "the disk does not give the bytes of a chunk; it is not marked as damaged, since they may come back",
	"chunk.refs":                "the ids that a metadata chunk lists in clear are not those of its content: whoever stored it may be bad, and a sweep goes by them",
	"attempt.cleared":           "an attempt on which nobody works held up a sweep and was settled",
	"catalog.not-written":       "sessions stand still, since the server cannot write its catalog; they go on by themselves when it can",
	"clock.jumped":              "the server's clock is more than a day off what was expected; retention and purge are paused",
	"retention.deleted":         "a restore point was deleted by retention; the line says why and until when it can be undeleted",
	"retention.failed":          "a restore point that should go could not be marked",
	"retention.kept":            "how many restore points of a computer retention has kept",
	"retention.policy":          "rules of retention that are negative, too high, contradict each other, or would delete everything",
	"server.restarted":          "the server was started anew while it did the work of a task; it is tried again at once",
	"job.scripts":               "a script of the job has no path, one that is not allowed, or a time limit out of bounds",
	"script.started":            "a script of the job is about to start",
	"script.output":             "a line that a script printed",
	"script.done":               "a script ended well",
	"snapshot.taken":            "a volume is read from a snapshot; which, and why not a better one",
	"snapshot.none":             "a volume is read as it is, and why there is no snapshot",
	"snapshot.live":             "the job takes no snapshots",
	"snapshot.kept":             "the attempt goes on with the snapshot that the one before has left",
	"snapshot.retry":            "a snapshot failed and is tried again",
	"snapshot.hold":             "how long an application was held between pre-freeze and post-thaw",
	"sweep.done":                "what a run of a sweep's mover did",
	"sweep.list-damaged":        "a list of condemned packs cannot be read and was given up; what it condemned stays until the next sweep",
	"sweep.nothing":             "no pack was compressed fast: idle time has nothing to gain",
	"sweep.yields":              "work of idle time stops, since another session wants the repository",
	"sweep.other":               "another sweep was faster; this one goes on with its list",
	"sweep.reindexed":           "packs of a restore point were in no index segment; they are again",
	"sweep.resumed":             "a sweep goes on with the list of an earlier one",
	"compact.kept":              "a pack was to be written anew and stays as it is",
	"compact.punched":           "files that no restore point needs were taken out of bundles of small files",
	"sweep.report":              "what a sweep came to in all its runs",
	"agent.clock-skew":          "the clock of the computer is not the server's; points carry the server's time",
	"attempt.end-missing":       "the node no longer knows how the attempt ended; the repository decides",
	"attempt.failed":            "an attempt failed; it is tried again where that can help",
	"attempt.not-committed":     "the attempt ended without a restore point",
	"attempt.unsettled":         "it is not known yet whether the attempt committed; no new one begins before",
	"check.done":                "how far a check went, and how much of the content it opened and compared",
	"checkpoint.made":           "what was written so far is kept for the next attempt",
	"chunk.damaged":             "a chunk is not what it must be",
	"chunk.form":                "the content of a metadata chunk matches its id and cannot be read; the version of the agent that made it may be newer",
	"chunk.keys":                "a chunk does not open with the keys that the server has of the repository",
	"configuration.damaged":     "the configuration object is damaged",
	"backup.full-read":          "a run reads all files because the job does so every so many runs",
	"connection.again":          "the agent connected again after a lost connection",
	"connection.made":           "agent and mover are connected; who dialled",
	"command.usage":             "the command line cannot be understood",
	"connection.protocol":       "the other end of a data connection does not keep to the protocol",
	"dir.unreadable":            "a directory could not be listed; what is below it is missing from the point",
	"events.dropped":            "a task had more events than are kept; the counters are complete",
	"file.changed":              "a file changed while it was read; what was read is kept",
	"file.damaged":              "a file of a restore point needs what is damaged in the repository",
	"file.resumed":              "a large file was gone on with where the attempt before had come to",
	"file.shrank":               "a file became shorter while it was read",
	"file.stranger":             "a file in the repository's directory is not the repository's; it is left alone",
	"file.unreadable":           "a file could not be read; it is missing from the point",
	"include.platform":          "an include path is one of another system, and is left out",
	"selection.left-out":        "how much each rule of a job left out",
	"selection.empty":           "what a job includes holds nothing but directories: its rules left out the rest, or nothing is mounted there",
	"job.only":                  "a mask is wrong",
	"job.override":              "what a job takes of one of its computers alone is wrong",
	"include.missing":           "an include path does not exist on the computer; the others are taken",
	"internal.move":             "a change of status that the tables do not have; a defect",
	"job.attempts":              "the number of attempts is out of bounds",
	"update.progress":           "how far an update has come",
	"update.there":              "nothing was to be done: the agent is that version already",
	"update.done":               "the agent has become the new version",
	"update.log":                "what the new version said while it was on trial",
	"update.failed":             "an update failed for a reason without a code of its own",
	"update.rollout-stopped":    "a rollout was stopped by the first computer on which it failed",
	"group.excluded":            "who takes no part in the job since one of its groups excludes it",
	"group.members":             "who takes part in the job because of a group, and why",
	"group.read":                "how many computers a list of a group names",
	"group.untrusted":           "computers that a group names take no part: they have not joined, or were shut out",
	"group.warning":             "what is odd about a group, such as a pattern that matches no computer",
	"group.inventory":           "what computers said when they were asked what they are",
	"group.told":                "a notification rule or a report is about the group",
	"group.definition":          "a field of the group is wrong",
	"group.file":                "the file of a group cannot be read or is no list of computers; the last good one holds",
	"group.cloud":               "a command or URL did not tell the cloud machines of a group; the last good list holds",
	"computer.cloned":           "two machines take turns under one certificate: one was copied with the other's key",
	"computer.name-taken":       "a machine wanted to join with a group's token under a name that there is or was",
	"computer.tags":             "the tags of the computer are wrong",
	"job.groups":                "the list of groups is wrong",
	"job.no-members":            "the groups of the job have no members now, so there is nobody to back up",
	"agent.no-identity":         "the directory is not that of an agent that has joined",
	"agent.no-jobs":             "an agent that serves the server alone manages no jobs",
	"agent.own-run":             "the agent runs the job by itself; the server takes that run over in a moment",
	"job.not-issued":            "an agent cannot manage a job that says so, and it does not run at its computer",
	"job.by-agent":              "an agent cannot manage such a job",
	"standing.expired":          "the time is over for which the attempt was issued: the server was away for longer than agent_days",
	"standing.half":             "what was shown cannot open an attempt",
	"standing.revoked":          "the attempt was taken back, as its computer was removed; it can make no restore point",
	"standing.sealed":           "what was shown does not open this attempt",
	"standing.unknown":          "the attempt was taken back or never issued: the job or the computer was changed",
	"transport.agents":          "the transport service cannot listen for agents",
	"transport.door":            "no address is reached at which the transport service waits for agents",
	"job.changed":               "a job was changed by somebody else since it was read",
	"job.cloud-mode":            "cloud machines can only be in jobs that the backup server manages",
	"join.name-taken":           "a token of a group lets in under new names only, and there is or was a computer of this one",
	"job.computers":             "the list of computers is wrong",
	"job.exclude":               "an exclude pattern is wrong",
	"job.failed":                "the last session of a job failed",
	"job.check":                 "how far the check of a job goes is out of bounds",
	"job.field":                 "a job of this type does not have such a field",
	"reconcile.done":            "how many packs and index segments were compared, and in how much they differ",
	"job.include":               "the list of include paths is wrong",
	"job.jitter":                "the time over which the computers of a job are spread is out of bounds",
	"job.repository":            "the job names no repository",
	"job.restart-interval":      "the restart interval is out of bounds",
	"mover.lost":                "the data mover is gone",
	"node.heartbeat-lost":       "the node was not heard of again after the server was started anew",
	"node.lost-task":            "the node does not run the task any longer",
	"node.silent":               "the node missed its heartbeats",
	"pack.name":                 "an object among the packs is none",
	"pack.unknown":              "no index segment, restore point or attempt knows a pack; it is left alone",
	"pack.unreadable":           "a pack could not be read",
	"parent.damaged":            "the parent point could not be used; everything was read",
	"point.late":                "a point was completed before its attempt was cut off; it is kept",
	"point.sealed":              "the body of a restore point does not open",
	"recovery.key-wrong":        "the recovery key is not this repository's",
	"repository.io":             "reading or writing below the repository failed",
	"repository.lost":           "the directory holds no repository, or another one",
	"repository.no-space":       "the file system under the repository is full",
	"repository.object-missing": "an object of the repository is not there",
	"repository.offline":        "the transport service of the repository does not reach it",
	"repository.permission":     "the transport service may not read or write there",
	"repository.recovery-key":   "the recovery key was never exported",
	"repository.streams":        "the number of streams is out of bounds",
	"repository.transport":      "the repository names no transport service",
	"repository.rate":           "what a repository may read or write is no rate",
	"catalog.traffic":           "a traffic rule in the catalog cannot be read",
	"traffic.limit":             "the limit of a traffic rule is missing, or no rate",
	"traffic.range":             "a range of a traffic rule is neither an address, nor a network, nor any",
	"traffic.hours":             "the hours of a traffic rule, or their time zone, cannot be read",
	"repository.writers":        "the number of writers is out of bounds",
	"restore.device":            "a device node could not be made",
	"restore.failed":            "a file could not be restored; the rest went on",
	"restore.flags":             "file flags could not be set",
	"restore.incomplete":        "not all of a directory could be read when it was backed up",
	"restore.owner":             "owner or group could not be set",
	"restore.partial":           "the point is of a backup that was ended early",
	"restore.size":              "a file has another size than its entry says",
	"restore.stream":            "a named stream of a file could not be restored",
	"restore.did":               "what a restore has done; the first 1000 files and directories are listed",
	"restore.would":             "what a dry run would have done",
	"restore.xattr":             "an extended attribute could not be set",
	"segment.damaged":           "an index segment is damaged",
	"segment.missing":           "an index segment is not there",
	"segment.pack-gone":         "an index segment tells of a pack that is not there, and no sweep has taken",
	"segment.unreadable":        "an index segment could not be read",
	"segment.untrue":            "the checksums of an index segment are right, and what it says is not; it is made anew from the packs",
	"session.priority":          "a priority is a number from 000, which goes first, to 999",
	"session.log-level":         "a log was searched for a severity that is none: there are info, warning and error",
	"session.over":              "the session is over: nothing of it can be changed any more",
	"session.kill":              "somebody wants a session to end that is ending already: it ends as it was told to first",
	"session.suspend":           "somebody wants a pause of a session that is still letting go: it begins when it has",
	"session.resume":            "somebody wants a session to go on that is still letting go: it does when it has",
	"resource.unknown":          "there is no resource of this name",
	"session.not-suspended":     "the session, or its task, is in a phase that cannot be interrupted, or is over: it can only end or be killed",
	"session.not-resumed":       "the session is over: nothing can go on; start the job again",
	"backup.partial":            "a backup was ended early and keeps what was complete by then",
	"session.nothing-kept":      "a session was to be ended and keep what it had written, and there was nothing, or nothing yet",
	"session.overdue":           "a session has run for longer than the limit of running time",
	"session.retry":             "what failed in a session is tried again by another one",
	"session.not-retried":       "what failed in a session stays so until somebody has changed something; then: `keepward session retry`",
	"agent.spared":              "the agent let go of a run of its own, since the computer runs on its battery or its network is metered; it goes on by itself",
	"resource.not-to-be-had":    "what a task needs cannot be had, and its job type does not wait for it any longer",
	"session.log-full":          "the log of a session has its greatest length; further lines are counted, not kept",
	"signature.unusable":        "a large file could not be compared with its parent block by block; it was read as a new one",
	"server.unreachable":        "no server answers at the address",
	"task.first-set":            "a task has its first set, and keeps it while it waits for its second",
	"xattr.failed":              "extended attributes could not be read",
}

// notCodes look like codes and are keys of the server's settings, fields of a job, or kinds of events.
var notCodes = map[string]bool{
	"server.id": true, "clock.seen": true, "secret.check": true, "check.budget": true,
	"session.success": true, "session.warning": true, "session.failed": true, "report.daily": true, "report.weekly": true,
}

// finding is what the source says of one code.
type finding struct {
	kinds map[string]bool
	text  string
}

// TestEveryCodeHasItsPlaceInTheDocumentation holds docs/errors.md to the source: go test
// ./internal/errs -run Documentation -update writes it anew. Texts may differ, codes not.
func TestEveryCodeHasItsPlaceInTheDocumentation(t *testing.T) {
	found := codes(t)
	for code, f := range found {
		if !shape.MatchString(code) {
			t.Errorf("%q is no code: write area.what", code)
		}
		if f.text == "" && meanings[code] == "" {
			t.Errorf("%s: this test has no meaning for it", code)
		}
		if area, _, _ := strings.Cut(code, "."); areas[area] == "" {
			t.Errorf("%s: the area %s has no description in this test", code, area)
		}
	}
	if *update {
		if err := os.WriteFile(page, render(found), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	written := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z.-]+)`").FindAllSubmatch(text, -1) {
		written[string(m[1])] = true
		if _, ok := found[string(m[1])]; !ok {
			t.Errorf("docs/errors.md names %s, which is gone; run this test with -update", m[1])
		}
	}
	for code := range found {
		if !written[code] {
			t.Errorf("docs/errors.md lacks %s; run this test with -update", code)
		}
	}
}

// shape is what a code looks like; the ends of file names are none.
var (
	shape    = regexp.MustCompile(`^[a-z-]+\.[a-z-]+$`)
	fileName = regexp.MustCompile(`\.(pem|crt|key|pb|json|sock|log|yaml|db|lock|tmp|templ)$`)
)

// codes reads all code of the product: the second argument of errs.New, and every other
// literal that looks like a code of a known area, as events and conditions have them.
func codes(t *testing.T) map[string]*finding {
	t.Helper()
	found := map[string]*finding{}
	add := func(code string) *finding {
		if found[code] == nil {
			found[code] = &finding{kinds: map[string]bool{}}
		}
		return found[code]
	}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || !product(path) {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, ok := literal(n); ok && shape.MatchString(s) && !fileName.MatchString(s) && !notCodes[s] {
					if area, _, _ := strings.Cut(s, "."); areas[area] != "" {
						add(s)
					}
				}
			case *ast.CallExpr:
				code, kind, text, ok := made(n)
				if !ok {
					code, kind, text, ok = unknown(n)
				}
				if ok {
					f := add(code)
					f.kinds[kind] = true
					if f.text == "" {
						f.text = text
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 100 {
		t.Fatalf("only %d codes found: the test looks at the wrong place", len(found))
	}
	return found
}

// product says whether a file is part of the binary.
func product(path string) bool {
	path = strings.TrimPrefix(filepath.ToSlash(path), "../../")
	if strings.HasPrefix(path, "internal/treegen/") || strings.HasPrefix(path, "internal/treecmp/") {
		return false // they are for tests
	}
	return strings.HasPrefix(path, "internal/") || strings.HasPrefix(path, "cmd/")
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}

// made reads errs.New(errs.Kind, "code", "text", …).
func made(call *ast.CallExpr) (code, kind, text string, ok bool) {
	f, isSel := call.Fun.(*ast.SelectorExpr)
	if !isSel || f.Sel.Name != "New" || len(call.Args) < 3 {
		return "", "", "", false
	}
	if p, isIdent := f.X.(*ast.Ident); !isIdent || p.Name != "errs" {
		return "", "", "", false
	}
	code, ok = literal(call.Args[1])
	if !ok || code == "" {
		return "", "", "", false
	}
	if k, isKind := call.Args[0].(*ast.SelectorExpr); isKind {
		kind = kindNames[k.Sel.Name]
	} else {
		kind = "of its cause"
	}
	text, _ = literal(call.Args[2])
	return code, kind, text, true
}

// thingAt says which argument of a function is the thing of which there is none, as in catalog.NotFound.
var thingAt = map[string]int{"NotFound": 0, "reference": 1, "orNearest": 4}

// unknown reads calls that say that there is no thing of some name: their code is made from the thing.
func unknown(call *ast.CallExpr) (code, kind, text string, ok bool) {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	at, is := thingAt[name]
	if !is || at >= len(call.Args) {
		return "", "", "", false
	}
	thing, ok := literal(call.Args[at])
	return strings.ReplaceAll(thing, " ", "-") + ".unknown", "not found", "there is no " + thing + " %q", ok
}

var kindNames = map[string]string{
	"NotFound": "not found", "Exists": "exists", "Busy": "busy", "Denied": "denied", "Unavailable": "unavailable", "Corrupt": "corrupt",
	"Invalid": "invalid", "Cancelled": "cancelled", "NoSpace": "no space", "Internal": "internal",
}

var verb = regexp.MustCompile(`%[-+#0-9.]*[a-zA-Z]`)

func render(found map[string]*finding) []byte {
	var b bytes.Buffer
	b.WriteString("# Errors, warnings and conditions by code\n\n" +
		"Every error that leaves a part of Keepward has a kind (what a caller may do about it) and most have a stable code. Codes of\n" +
		"single files are events in a session's log; some are conditions, which `keepward status` shows until they are gone. `…` stands for\n" +
		"names and numbers. This page is printed from the source by a test in `internal/errs`; do not edit it by hand.\n")
	last := ""
	for _, code := range slices.Sorted(maps.Keys(found)) {
		area, _, _ := strings.Cut(code, ".")
		if area != last {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| code | kind | says |\n|---|---|---|\n", area, areas[area])
			last = area
		}
		kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(found[code].kinds)), func(k string) bool { return k == "" })
		if len(kinds) == 0 {
			kinds = []string{"event or condition"}
		}
		text := found[code].text
		if text == "" || text == "%s" {
			text = meanings[code]
		}
		text = strings.ReplaceAll(verb.ReplaceAllString(text, "…"), "|", `\|`)
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", code, strings.Join(kinds, ", "), text)
	}
	return b.Bytes()
}
