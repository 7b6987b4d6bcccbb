package job_test

import (
	"testing"

	"keepward/internal/job"
)

// The reasons for delay that operators of other systems know, word for word, and the code by which
// Keepward says the same. E1 is the first group of messages, E2 the second, with what preemption
// says.
var knownMessages = []struct {
	message string
	code    job.Code
	e1      bool
}{
	{"The operation could not be completed as the drive pool is offline.", job.DrivePoolOffline, true},
	{"The operation cannot be completed as the host is offline.", job.HostOffline, true},
	{"The operation could not be completed as the library controller is offline.", job.LibraryControllerOffline, true},
	{"The operation cannot be completed as the library is offline.", job.LibraryOffline, true},
	{"The operation cannot be completed as the master drive pool is offline.", job.MasterPoolOffline, true},
	{"There are not enough drives in the drive pool.", job.NotEnoughDrives, true},
	{"There is no active controller for this library.", job.NoActiveControllerLibrary, true},
	{"Mount path is offline.", job.MountPathOffline, true},
	{"Media agent is offline.", job.TransportOffline, true},
	{"Host is offline.", job.HostOffline, true},
	{"Library controller service is down.", job.LibraryControllerServiceDown, true},
	{"The Library controller is offline.", job.LibraryControllerOffline, true},

	{"All spares are outside the library.", job.SparesOutside, false},
	{"The operation cannot be completed as the drive is reserved.", job.DriveReserved, false},
	{"The operation cannot be completed as the media is outside the library.", job.MediaOutsideLibrary, false},
	{"The operation cannot be completed as the mountpath is reserved.", job.MountPathReserved, false},
	{"The operation could not be completed as there is not enough media.", job.NotEnoughMedia, false},
	{"The operation could not be completed as there are not enough drives that are not reserved, online and whose controller are alive.", job.NoGoodDrives, false},
	{"There is no active controller for this drive.", job.NoActiveControllerDrive, false},
	{"There are no disk paths that are enabled and with the required space.", job.NoPathWithSpace, false},
	{"There are no more spares.", job.NoSpares, false},
	{"The operation cannot be completed as the opposite side for this media is already reserved.", job.OppositeSideReserved, false},
	{"The operation cannot be completed as the number of drive reservations exceeds the allotted drives.", job.DrivesExceedAllotment, false},
	{"The number of writers would exceed the maximum allowed limit.", job.WritersLimit, false},
	{"The operation cannot be completed as the media group is reserved.", job.MediaGroupReserved, false},
	{"The operation cannot be completed as the copy is reserved.", job.CopyReserved, false},
	{"The operation cannot be completed as the drive pool is used by storage policy copy.", job.PoolUsedByCopy, false},
	{"Requested volume is being mounted/unmounted.", job.VolumeMounting, false},
	{"The media is not in library.", job.MediaOutsideLibrary, false},
	{"Media is being used and is reserved.", job.MediaInUse, false},
	{"Job does not have reservation on the drive.", job.NoReservationOnDrive, false},
	{"The requested media is not in any slot of the library.", job.MediaNotInSlot, false},
	{"The requested media is stuck in the drive.", job.MediaStuck, false},
	{"The requested media is exported.", job.MediaExported, false},
	{"The media is already Reserved by some other Job[s].", job.MediaReserved, false},
	{"The Media is not available. The Job currently using the media was interrupted.", job.MediaUserInterrupted, false},
	{"No drives available for reservation.", job.NoFreeDrives, false},
	{"Not enough good drives available for reservation.", job.NoGoodDrives, false},
	{"Not enough drives available in Drive Pool.", job.PoolDrivesBusy, false},
	{"The interrupted job has not released the drives yet.", job.VictimHoldsDrive, false},
	{"The interrupted job has not released the Media yet.", job.VictimHoldsMedia, false},
	{"The job has already been interrupted by another job.", job.AlreadyInterrupted, false},
	{"Job[s] Interrupted by this Job have not released Resources yet.", job.VictimsHoldResources, false},
	{"Not Enough streams Available for Storage policy. Need %d streams and %d streams are available.", job.StreamsShort, false},
	{"The Media is already reserved by some other Job[s].", job.MediaReserved, false},
	{"Waiting for Jobs [ ] to release the resources.", job.WaitingForSessions, false},
	{"No resources available.", job.NoResources, false},
}

func TestEveryKnownMessageHasACode(t *testing.T) {
	if len(knownMessages) != 12+35 {
		t.Errorf("%d messages, the two examples have 12 and 35", len(knownMessages))
	}
	seen := map[job.Code]bool{}
	for _, m := range knownMessages {
		row, ok := m.code.Row()
		if !ok {
			t.Errorf("%q: %s is no code", m.message, m.code)
			continue
		}
		seen[m.code] = true
		if m.e1 != (row.Group == job.Infrastructure) || !m.e1 && row.Group != job.Contention && row.Group != job.PreemptionGroup {
			t.Errorf("%q: %s is of group %s", m.message, m.code, row.Group)
		}
		if row.Sentence == "" {
			t.Errorf("%q: %s has no sentence", m.message, m.code)
		}
	}
	// What there is beyond the messages is ours: agents, repositories, workers, limits and claims.
	ours := map[job.Code]bool{
		job.AgentOffline: true, job.RepositoryOffline: true, job.WorkerUnavailable: true, job.HypervisorOffline: true,
		job.ClientBusy: true, job.WorkerSlots: true, job.ServerLimit: true, job.KeptForSession: true,
	}
	for _, r := range job.Reasons {
		switch r.Group {
		case job.Infrastructure, job.Contention, job.PreemptionGroup:
			if seen[r.Code] == ours[r.Code] {
				t.Errorf("%s: among the messages %v, of our own %v", r.Code, seen[r.Code], ours[r.Code])
			}
		}
	}
}
