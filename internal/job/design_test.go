package job_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/job"
)

// The rows below are those of the design, typed a second time on purpose: a table that is
// changed by a slip is seen here.

// designTypes is jobs §3: type, first digit of the priority, whether it preempts, its phases.
var designTypes = []struct {
	typ      job.Type
	op       int
	preempts job.Preempts
	phases   string
}{
	{job.Backup, 1, job.PreemptsYes, "prepare R · system state R ? · transfer P R · index R · finish R"},
	{job.BackupVolume, 1, job.PreemptsYes, "scan R ? · prepare R · transfer P R · index R · finish R"},
	{job.BackupDatabase, 1, job.PreemptsYes, "prepare R · transfer R by agent · index R · finish R"},
	{job.BackupVM, 1, job.PreemptsYes, "discover R · prepare R · transfer P R · index R · finish R"},
	{job.Archive, 1, job.PreemptsYes, "prepare R · scan R · transfer P R · archive index P R · content index P R"},
	{job.SiloBackup, 1, job.PreemptsYes, "transfer P R"},
	{job.SiloRestore, 0, job.PreemptsYes, "restore P R"},
	{job.Restore, 0, job.PreemptsYes, "plan R · restore P R"},
	{job.RestoreVM, 0, job.PreemptsYes, "plan R · restore P R"},
	{job.RestoreDB, 0, job.PreemptsYes, "restore"},
	{job.RestoreSearch, 0, job.PreemptsYes, "plan R · restore R"},
	{job.IndexRestore, 0, job.PreemptsYes, "browse"},
	{job.Copy, 3, job.PreemptsNo, "select R · transfer P R · finish R"},
	{job.Migrate, 3, job.PreemptsNo, "select R · transfer P R · finish R"},
	{job.AuxiliaryCopy, 3, job.PreemptsBySwitch, "select R · transfer P R · finish R"},
	{job.SyntheticFull, 9, job.PreemptsNo, "merge P R · index R · finish R"},
	{job.Verify, 5, job.PreemptsNo, "check P R"},
	{job.MediaRefresh, 6, job.PreemptsNo, "refresh P R"},
	{job.MediaExport, 4, job.PreemptsNo, "export"},
	{job.MediaErase, 4, job.PreemptsNo, "erase"},
	{job.MediaInventory, 4, job.PreemptsNo, "inventory"},
	{job.ContentIndex, 7, job.PreemptsNo, "content index P R"},
	{job.Reconcile, 8, job.PreemptsNo, "reconcile P R"},
	{job.RebuildIndex, 2, job.PreemptsNo, "rebuild P R"},
	{job.Retention, 8, job.PreemptsNo, "age P R"},
	{job.Sweep, 8, job.PreemptsNo, "sweep P R"},
	{job.Compaction, 8, job.PreemptsNo, "compact P R"},
	{job.ServerBackup, 0, job.PreemptsNo, "dump R"},
	{job.UpdateDownload, 5, job.PreemptsNo, "download R"},
	{job.UpdateInstall, 5, job.PreemptsNo, "install R"},
	{job.Rescan, 5, job.PreemptsNo, "rescan R"}, // the design has it as an admin job of protection groups, without a row
}

func TestJobTypesOfTheDesign(t *testing.T) {
	if len(job.Types) != len(designTypes) {
		t.Errorf("%d job types, the design has %d", len(job.Types), len(designTypes))
	}
	for _, want := range designTypes {
		r := want.typ.Row()
		var phases []string
		for _, p := range r.Phases {
			text := p.Name
			for _, f := range []struct {
				on   bool
				word string
			}{{p.Preemptable, " P"}, {p.Restartable, " R"}, {p.ByAgent, " by agent"}, {p.Only != "", " ?"}} {
				if f.on {
					text += f.word
				}
			}
			phases = append(phases, text)
		}
		if got := strings.Join(phases, " · "); got != want.phases || r.Operation != want.op || r.Preempts != want.preempts {
			t.Errorf("%s: %d, %s, %s; the design has %d, %s, %s", want.typ, r.Operation, r.Preempts, got, want.op, want.preempts, want.phases)
		}
	}
}

// designReservations is jobs §5: where a task stands that lacks something.
var designReservations = []struct {
	types  []job.Type
	e1, e2 job.Status
	every  time.Duration
	second bool
	then   job.Status
}{
	{[]job.Type{job.Backup, job.BackupVolume, job.BackupDatabase, job.BackupVM, job.Archive, job.SiloBackup}, job.Waiting, job.Waiting, 0, false, ""},
	{[]job.Type{job.Restore, job.RestoreVM, job.RestoreSearch, job.SiloRestore}, job.Pending, job.Pending, 0, false, ""},
	{[]job.Type{job.RestoreDB}, job.Failed, job.Running, 2 * time.Minute, false, ""},
	{[]job.Type{job.IndexRestore}, job.Pending, job.Waiting, 2 * time.Minute, true, job.Failed},
	{[]job.Type{job.SyntheticFull}, job.Waiting, job.Waiting, 0, true, job.Pending},
	{[]job.Type{job.AuxiliaryCopy, job.Copy, job.Migrate}, job.Waiting, job.Waiting, 0, false, ""},
	{[]job.Type{job.MediaRefresh}, job.Waiting, job.Waiting, 0, false, ""},
	{[]job.Type{job.Verify, job.Retention, job.Sweep, job.Compaction, job.Reconcile, job.ContentIndex}, job.Waiting, job.Waiting, 0, false, ""},
	{[]job.Type{job.RebuildIndex}, job.Waiting, job.Waiting, 0, false, ""},
	{[]job.Type{job.MediaExport, job.MediaErase, job.MediaInventory}, job.Pending, job.Pending, 0, false, ""},
	{[]job.Type{job.ServerBackup, job.UpdateDownload, job.UpdateInstall, job.Rescan}, job.Waiting, job.Waiting, 0, false, ""},
}

func TestReservationsOfTheDesign(t *testing.T) {
	seen := 0
	for _, want := range designReservations {
		for _, typ := range want.types {
			seen++
			r := typ.Reservation()
			if r.A.Infrastructure != want.e1 || r.A.Contention != want.e2 || r.A.Every != want.every || (r.B != nil) != want.second {
				t.Errorf("%s: step a is %+v, step b there: %v", typ, r.A, r.B != nil)
			}
			if r.B != nil && (r.B.Every != 20*time.Minute || r.B.Tries != 144 || r.B.Then != want.then) {
				t.Errorf("%s: step b is %+v", typ, *r.B)
			}
		}
	}
	if seen != len(job.Types) {
		t.Errorf("%d types, there are %d", seen, len(job.Types))
	}
}

// designCodes is jobs §6.
const designCodes = `NONE
HOST_OFFLINE TRANSPORT_OFFLINE AGENT_OFFLINE REPOSITORY_OFFLINE MOUNT_PATH_OFFLINE LIBRARY_OFFLINE
LIBRARY_CONTROLLER_OFFLINE LIBRARY_CONTROLLER_SERVICE_DOWN NO_ACTIVE_CONTROLLER_LIBRARY DRIVE_POOL_OFFLINE
MASTER_POOL_OFFLINE NOT_ENOUGH_DRIVES WORKER_UNAVAILABLE HYPERVISOR_OFFLINE
STREAMS_SHORT WRITERS_LIMIT MOUNT_PATH_RESERVED NO_PATH_WITH_SPACE DRIVE_RESERVED NO_FREE_DRIVES NO_GOOD_DRIVES
NO_ACTIVE_CONTROLLER_DRIVE POOL_DRIVES_BUSY DRIVES_EXCEED_ALLOTMENT NO_RESERVATION_ON_DRIVE MEDIA_RESERVED
MEDIA_IN_USE MEDIA_USER_INTERRUPTED MEDIA_OUTSIDE_LIBRARY MEDIA_NOT_IN_SLOT MEDIA_STUCK MEDIA_EXPORTED
OPPOSITE_SIDE_RESERVED NO_SPARES SPARES_OUTSIDE NOT_ENOUGH_MEDIA MEDIA_GROUP_RESERVED COPY_RESERVED
POOL_USED_BY_COPY VOLUME_MOUNTING CLIENT_BUSY WORKER_SLOTS
WAITING_FOR_SESSIONS VICTIMS_HOLD_RESOURCES VICTIM_HOLDS_DRIVE VICTIM_HOLDS_MEDIA ALREADY_INTERRUPTED NO_RESOURCES
CONFLICT ACTIVITY_DISABLED OUTSIDE_WINDOW THROTTLE START_TIME AFTER_JOB SERVER_PAUSED
RESTART_AT HEARTBEAT_LOST SNAPSHOT_RETRY`

func TestCodesOfTheDesign(t *testing.T) {
	want := append(strings.Fields(designCodes), string(job.ServerLimit), string(job.KeptForSession), // docs/decisions/broker.md
		string(job.OnBattery), string(job.MeteredNetwork)) // docs/operator/care.md
	for _, code := range want {
		if _, ok := job.Code(code).Row(); !ok {
			t.Errorf("%s is no code", code)
		}
	}
	if len(want) != len(job.Reasons) {
		t.Errorf("%d codes, the design has %d with those of the broker and of care", len(job.Reasons), len(want))
	}
}

// designDefaults is jobs §4 and §7.
var designDefaults = map[string]any{
	"attempts": 10, "attempts_restore": 144, "restart_interval": 20 * time.Minute,
	"total_running_time_limit": false, "total_running_time": 6 * time.Hour, "total_running_time_end": "kill",
	"repository_streams": 4, "mount_path_writers": 4, "client_tasks": 1, "leaving_limit": 5 * time.Minute,
	"heartbeat": 15 * time.Second, "heartbeats_lost": 3, "reservation_cleanup_interval": 1440 * time.Minute,
	"snapshot_kept": 2 * time.Hour, "claim_after": time.Hour, "preemptions_in_row": 5, "protected_running": 10 * time.Minute,
	"restores_preempt_backups": false, "backups_preempt_backups": false, "copies_preempt_copies": false,
	"session_retries": 3, "session_retry_after": 10 * time.Minute, "missed": "run once", "duplicates": "queue",
}

func TestDefaultsOfTheDesign(t *testing.T) {
	have := map[string]any{}
	for _, s := range job.Settings {
		if _, ok := designDefaults[s.Name]; ok {
			have[s.Name] = s.Default
		}
	}
	if d := cmp.Diff(designDefaults, have); d != "" {
		t.Errorf("defaults (-design +table):\n%s", d)
	}
	if job.DefaultDigit != 6 {
		t.Errorf("the digit of a client or agent that nobody set is %d", job.DefaultDigit)
	}
}

func TestEveryTypeHasOneSetThatFitsItsWords(t *testing.T) {
	rows := map[job.Type]int{}
	for _, r := range job.NeedRows {
		for _, typ := range r.Types {
			rows[typ]++
		}
	}
	for _, r := range job.Types {
		if rows[r.Type] != 1 {
			t.Errorf("%s is in %d rows of needs, want 1", r.Type, rows[r.Type])
		}
		if b := r.Type.Reservation().B; (b != nil) != (len(r.Type.Needs().B) > 0) {
			t.Errorf("%s: its reservation has a second step: %v, its needs: %v", r.Type, b != nil, r.Type.Needs().B)
		}
		takes := r.Type.Reservation().A.Takes
		for _, n := range r.Type.Needs().A {
			if n.Count < 0 || n.Count > 1 && !n.Spread && n.Kind != job.KindDrivePool {
				t.Errorf("%s: a line that no single thing can give: %+v", r.Type, n)
			}
		}
		for word, kind := range map[string]job.Kind{"two drives": job.KindDrive, "library": job.KindLibrary} {
			if strings.Contains(takes, word) && !needs(r.Type, kind) {
				t.Errorf("%s takes %q, and no line of its set is one of %s", r.Type, takes, kind)
			}
		}
		if _, ok := r.Type.Phase(r.Type.MainPhase()); !ok {
			t.Errorf("%s works in phase %q, which it has not", r.Type, r.Type.MainPhase())
		}
	}
	for typ, want := range map[job.Type]string{
		job.Backup: "transfer", job.BackupDatabase: "transfer", job.Restore: "restore", job.RestoreSearch: "restore",
		job.SyntheticFull: "merge", job.Copy: "transfer", job.Verify: "check",
	} {
		if got := typ.MainPhase(); got != want {
			t.Errorf("%s works in phase %q, want %q", typ, got, want)
		}
	}
}

func needs(typ job.Type, k job.Kind) bool {
	for _, n := range typ.Needs().A {
		if n.Kind == k {
			return true
		}
	}
	return false
}
