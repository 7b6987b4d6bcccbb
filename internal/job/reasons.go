package job

import (
	"slices"
	"strings"
)

// Code is the stable name of a reason for delay.
type Code string

// The codes. Their groups, arguments and sentences are in Reasons.
const (
	NoReason Code = "NONE"

	HostOffline                  Code = "HOST_OFFLINE"
	TransportOffline             Code = "TRANSPORT_OFFLINE"
	AgentOffline                 Code = "AGENT_OFFLINE"
	RepositoryOffline            Code = "REPOSITORY_OFFLINE"
	MountPathOffline             Code = "MOUNT_PATH_OFFLINE"
	LibraryOffline               Code = "LIBRARY_OFFLINE"
	LibraryControllerOffline     Code = "LIBRARY_CONTROLLER_OFFLINE"
	LibraryControllerServiceDown Code = "LIBRARY_CONTROLLER_SERVICE_DOWN"
	NoActiveControllerLibrary    Code = "NO_ACTIVE_CONTROLLER_LIBRARY"
	DrivePoolOffline             Code = "DRIVE_POOL_OFFLINE"
	MasterPoolOffline            Code = "MASTER_POOL_OFFLINE"
	NotEnoughDrives              Code = "NOT_ENOUGH_DRIVES"
	WorkerUnavailable            Code = "WORKER_UNAVAILABLE"
	HypervisorOffline            Code = "HYPERVISOR_OFFLINE"

	StreamsShort            Code = "STREAMS_SHORT"
	WritersLimit            Code = "WRITERS_LIMIT"
	MountPathReserved       Code = "MOUNT_PATH_RESERVED"
	NoPathWithSpace         Code = "NO_PATH_WITH_SPACE"
	DriveReserved           Code = "DRIVE_RESERVED"
	NoFreeDrives            Code = "NO_FREE_DRIVES"
	NoGoodDrives            Code = "NO_GOOD_DRIVES"
	NoActiveControllerDrive Code = "NO_ACTIVE_CONTROLLER_DRIVE"
	PoolDrivesBusy          Code = "POOL_DRIVES_BUSY"
	DrivesExceedAllotment   Code = "DRIVES_EXCEED_ALLOTMENT"
	NoReservationOnDrive    Code = "NO_RESERVATION_ON_DRIVE"
	MediaReserved           Code = "MEDIA_RESERVED"
	MediaInUse              Code = "MEDIA_IN_USE"
	MediaUserInterrupted    Code = "MEDIA_USER_INTERRUPTED"
	MediaOutsideLibrary     Code = "MEDIA_OUTSIDE_LIBRARY"
	MediaNotInSlot          Code = "MEDIA_NOT_IN_SLOT"
	MediaStuck              Code = "MEDIA_STUCK"
	MediaExported           Code = "MEDIA_EXPORTED"
	OppositeSideReserved    Code = "OPPOSITE_SIDE_RESERVED"
	NoSpares                Code = "NO_SPARES"
	SparesOutside           Code = "SPARES_OUTSIDE"
	NotEnoughMedia          Code = "NOT_ENOUGH_MEDIA"
	MediaGroupReserved      Code = "MEDIA_GROUP_RESERVED"
	CopyReserved            Code = "COPY_RESERVED"
	PoolUsedByCopy          Code = "POOL_USED_BY_COPY"
	VolumeMounting          Code = "VOLUME_MOUNTING"
	ClientBusy              Code = "CLIENT_BUSY"
	WorkerSlots             Code = "WORKER_SLOTS"
	ServerLimit             Code = "SERVER_LIMIT"
	KeptForSession          Code = "KEPT_FOR_SESSION"

	WaitingForSessions   Code = "WAITING_FOR_SESSIONS"
	VictimsHoldResources Code = "VICTIMS_HOLD_RESOURCES"
	VictimHoldsDrive     Code = "VICTIM_HOLDS_DRIVE"
	VictimHoldsMedia     Code = "VICTIM_HOLDS_MEDIA"
	AlreadyInterrupted   Code = "ALREADY_INTERRUPTED"
	NoResources          Code = "NO_RESOURCES"

	Conflict         Code = "CONFLICT"
	ActivityDisabled Code = "ACTIVITY_DISABLED"
	OutsideWindow    Code = "OUTSIDE_WINDOW"
	Throttle         Code = "THROTTLE"
	StartTime        Code = "START_TIME"
	AfterJob         Code = "AFTER_JOB"
	ServerPaused     Code = "SERVER_PAUSED"
	OnBattery        Code = "ON_BATTERY"
	MeteredNetwork   Code = "METERED_NETWORK"

	RestartAt     Code = "RESTART_AT"
	HeartbeatLost Code = "HEARTBEAT_LOST"
	SnapshotRetry Code = "SNAPSHOT_RETRY"
)

// Group says what kind of hindrance a reason is, and with that what a task does
// about it.
type Group string

// The groups. Where both E1 and E2 hold a task, E1 decides; preemption counts as E2.
const (
	GroupNone       Group = "none"
	Infrastructure  Group = "E1 infrastructure"
	Contention      Group = "E2 contention"
	PreemptionGroup Group = "preemption"
	QueueGroup      Group = "queue"
	RestartGroup    Group = "restart"
)

// ReasonRow is what there is to know of one code. Sentence names its arguments as
// {name}. The argument holders is not in it: where sessions are known that hold what is
// lacking, they are named behind the sentence.
type ReasonRow struct {
	Code     Code
	Group    Group
	Args     []string
	Sentence string
}

// Holders is the name of the argument that names the sessions which hold what is lacking.
const Holders = "holders"

func args(names ...string) []string { return names }

// Reasons has one row for every code.
var Reasons = []ReasonRow{
	{NoReason, GroupNone, nil, "no delay"},

	{HostOffline, Infrastructure, args("host"), "host {host} is offline"},
	{TransportOffline, Infrastructure, args("transport"), "transport service {transport} is offline"},
	{AgentOffline, Infrastructure, args("computer"), "the agent of {computer} is offline"},
	{RepositoryOffline, Infrastructure, args("repository"), "repository {repository} is offline"},
	{MountPathOffline, Infrastructure, args("path"), "mount path {path} is offline"},
	{LibraryOffline, Infrastructure, args("library"), "library {library} is offline"},
	{LibraryControllerOffline, Infrastructure, args("library"), "the controller of library {library} is offline"},
	{LibraryControllerServiceDown, Infrastructure, args("host"), "the library controller service on {host} is down"},
	{NoActiveControllerLibrary, Infrastructure, args("library"), "library {library} has no active controller"},
	{DrivePoolOffline, Infrastructure, args("pool"), "drive pool {pool} is offline"},
	{MasterPoolOffline, Infrastructure, args("pool"), "master drive pool {pool} is offline"},
	{NotEnoughDrives, Infrastructure, args("pool", "need", "exist"), "drive pool {pool} has fewer drives than needed: {need} needed, {exist} exist"},
	{WorkerUnavailable, Infrastructure, args("host"), "no worker is available on {host}"},
	{HypervisorOffline, Infrastructure, args("host"), "hypervisor {host} is offline"},

	{StreamsShort, Contention, args("policy", "need", "have", "holders"), "not enough streams of {policy}: {need} needed, {have} free"},
	{WritersLimit, Contention, args("path", "limit", "holders"), "mount path {path} has its {limit} writers"},
	{MountPathReserved, Contention, args("path", "holders"), "mount path {path} is reserved"},
	{NoPathWithSpace, Contention, args("repository"), "no mount path of {repository} is enabled and has the space"},
	{DriveReserved, Contention, args("drive", "holders"), "drive {drive} is reserved"},
	{NoFreeDrives, Contention, args("pool"), "no drive of {pool} is free to be reserved"},
	{NoGoodDrives, Contention, args("pool"), "no drive of {pool} is unreserved, online and has a live controller"},
	{NoActiveControllerDrive, Contention, args("drive"), "drive {drive} has no active controller"},
	{PoolDrivesBusy, Contention, args("pool", "need", "have"), "not enough drives of {pool}: {need} needed, {have} free"},
	{DrivesExceedAllotment, Contention, args("pool", "holders"), "the drives reserved in {pool} would exceed its allotment"},
	{NoReservationOnDrive, Contention, args("drive"), "the session has no reservation on drive {drive}"},
	{MediaReserved, Contention, args("sessions"), "the medium is reserved by sessions [{sessions}]"},
	{MediaInUse, Contention, args("medium"), "medium {medium} is in use"},
	{MediaUserInterrupted, Contention, args("session"), "session {session}, which uses the medium, was interrupted"},
	{MediaOutsideLibrary, Contention, args("medium"), "medium {medium} is outside the library"},
	{MediaNotInSlot, Contention, args("medium"), "medium {medium} is in no slot of the library"},
	{MediaStuck, Contention, args("medium", "drive"), "medium {medium} is stuck in drive {drive}"},
	{MediaExported, Contention, args("medium"), "medium {medium} is exported"},
	{OppositeSideReserved, Contention, args("medium"), "the other side of medium {medium} is reserved"},
	{NoSpares, Contention, args("group"), "media group {group} has no spares"},
	{SparesOutside, Contention, args("group"), "all spares of media group {group} are outside the library"},
	{NotEnoughMedia, Contention, args("group"), "media group {group} has not enough media"},
	{MediaGroupReserved, Contention, args("group", "holders"), "media group {group} is reserved"},
	{CopyReserved, Contention, args("copy", "holders"), "copy {copy} is reserved"},
	{PoolUsedByCopy, Contention, args("pool", "copy"), "drive pool {pool} is used by copy {copy}"},
	{VolumeMounting, Contention, args("volume"), "volume {volume} is being mounted or unmounted"},
	{ClientBusy, Contention, args("computer", "limit", "holders"), "computer {computer} already runs {limit} of its tasks at once"},
	{WorkerSlots, Contention, args("worker", "limit", "holders"), "worker {worker} already runs {limit} of its tasks at once"},
	{ServerLimit, Contention, args("limit", "holders"), "the server already runs {limit} tasks at once"},
	{KeptForSession, Contention, args("resource", "session"), "what is free of {resource} is kept for session {session}, which has waited longer"},

	{WaitingForSessions, PreemptionGroup, args("sessions"), "waiting for sessions [{sessions}] to release the resources"},
	{VictimsHoldResources, PreemptionGroup, args("sessions"), "the interrupted sessions [{sessions}] have not released their resources yet"},
	{VictimHoldsDrive, PreemptionGroup, nil, "the interrupted session has not released its drive yet"},
	{VictimHoldsMedia, PreemptionGroup, nil, "the interrupted session has not released its medium yet"},
	{AlreadyInterrupted, PreemptionGroup, nil, "the session was already interrupted by another one"},
	{NoResources, PreemptionGroup, nil, "no resources available"},

	{Conflict, QueueGroup, args("session"), "session {session} must end first"},
	{ActivityDisabled, QueueGroup, args("level"), "the activity is disabled for {level}"},
	{OutsideWindow, QueueGroup, args("rule", "until"), "outside the window {rule}, until {until}"},
	{Throttle, QueueGroup, args("limit"), "the limit of sessions at once is reached: {limit}"},
	{StartTime, QueueGroup, args("at"), "starts at {at}"},
	{AfterJob, QueueGroup, args("job"), "starts after job {job}"},
	{ServerPaused, QueueGroup, nil, "the server is paused"},
	{OnBattery, QueueGroup, args("computer", "need"), "{computer} runs on its battery, and the job waits for {need}"},
	{MeteredNetwork, QueueGroup, args("computer"), "the network of {computer} is metered"},

	{RestartAt, RestartGroup, args("time", "attempt", "of"), "will be tried again at {time}, attempt {attempt} of {of}"},
	{HeartbeatLost, RestartGroup, args("host"), "the heartbeat of {host} was lost"},
	{SnapshotRetry, RestartGroup, args("n", "of"), "the snapshot is tried again, {n} of {of}"},
}

var reasonRows = func() map[Code]ReasonRow {
	m := make(map[Code]ReasonRow, len(Reasons))
	for _, r := range Reasons {
		m[r.Code] = r
	}
	return m
}()

// Row is the row of c, and whether c is a code at all.
func (c Code) Row() (ReasonRow, bool) { r, ok := reasonRows[c]; return r, ok }

// Reason is why a task does not run: a code and its arguments in the row's order.
type Reason struct {
	Code Code
	Args []string
}

// Because makes a reason.
func Because(c Code, args ...string) Reason { return Reason{Code: c, Args: args} }

// Zero says that there is no delay.
func (r Reason) Zero() bool { return r.Code == "" || r.Code == NoReason }

// Text is the sentence for people. An argument that is missing shows as "?", and a
// code of a newer server as itself with its arguments, so that nothing is hidden.
func (r Reason) Text() string {
	if r.Zero() {
		return reasonRows[NoReason].Sentence
	}
	row, ok := reasonRows[r.Code]
	if !ok {
		return strings.TrimSpace(string(r.Code) + " " + strings.Join(r.Args, " "))
	}
	pairs := make([]string, 0, 2*len(row.Args))
	for i, name := range row.Args {
		value := "?"
		if i < len(r.Args) {
			value = r.Args[i]
		}
		pairs = append(pairs, "{"+name+"}", value)
	}
	text := strings.NewReplacer(pairs...).Replace(row.Sentence)
	if i := slices.Index(row.Args, Holders); i >= 0 && i < len(r.Args) && r.Args[i] != "" {
		text += ", held by sessions [" + r.Args[i] + "]"
	}
	return text
}
