package sim

import (
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/errs"
	"keepward/internal/gate"
	"keepward/internal/job"
	"keepward/internal/manager"
)

// inventory occupies one of these drives and a medium; nobody can interrupt it.
func (s *site) inventory(medium string, from ...string) int64 {
	if len(from) == 0 {
		from = drives
	}
	p := onTape([]string{medium}, manager.Place{})
	p.Target.Drives = from
	return s.submit(find(job.MediaInventory, true), p)
}

// refresh takes two of these drives, a source and a destination; anybody may interrupt it.
func (s *site) refresh(source, to string, from ...string) int64 {
	if len(from) == 0 {
		from = drives
	}
	p := onTape([]string{to}, readFrom(source))
	p.Target.Drives = from
	return s.submit(find(job.MediaRefresh, true), p)
}

func (s *site) onMain(t job.Type, on ...string) int64 {
	return s.submit(find(t, false), onDisk(mainRepo, mainRepo), on...)
}

func (s *site) onSecond(t job.Type) int64 {
	return s.submit(find(t, false), onDisk(second, second))
}

// broken puts something out of use for a reason.
func (s *site) broken(k broker.Kind, name string, why job.Reason) {
	s.t.Helper()
	if !s.tape.set(broker.ID{Kind: k, Name: name}, &why) {
		s.fail("there is no %s %s", k, name)
	}
	s.changed()
}

// reached brings about a reason, and answers the session that has it. What is put right in the end
// must let the session go on.
var reached = []struct {
	code job.Code
	do   func(s *site) int64
}{
	{job.TransportOffline, func(s *site) int64 { s.down(s.hostOf(mainRepo)); return s.onMain(job.Verify) }},
	{job.AgentOffline, func(s *site) int64 {
		s.down(s.nodes[agentNode(computers[0])])
		return s.onMain(job.Archive, computers[0])
	}},
	{job.StreamsShort, func(s *site) int64 { s.onMain(job.RestoreDB, computers[0], computers[1]); return s.onMain(job.Verify) }},
	{job.WritersLimit, func(s *site) int64 { s.onSecond(job.Compaction); return s.onSecond(job.Compaction) }},
	{job.MountPathReserved, func(s *site) int64 { s.onSecond(job.RebuildIndex); return s.onSecond(job.Compaction) }},
	{job.DriveReserved, func(s *site) int64 { s.inventory("m5", "d1"); return s.inventory("m6", "d1") }},
	{job.NoFreeDrives, func(s *site) int64 {
		s.inventory("m1")
		s.inventory("m2")
		s.inventory("m3")
		return s.inventory("m4")
	}},
	{job.NoGoodDrives, func(s *site) int64 {
		s.broken(broker.Drive, "d1", job.Because(job.NoActiveControllerDrive, "d1"))
		s.broken(broker.Drive, "d2", job.Because(job.NoActiveControllerDrive, "d2"))
		return s.refresh("m5", "m3")
	}},
	{job.NoActiveControllerDrive, func(s *site) int64 {
		s.broken(broker.Drive, "d1", job.Because(job.NoActiveControllerDrive, "d1"))
		return s.inventory("m5", "d1")
	}},
	{job.PoolDrivesBusy, func(s *site) int64 { s.inventory("m1"); s.inventory("m2"); return s.refresh("m5", "m3") }},
	{job.DrivesExceedAllotment, func(s *site) int64 { s.refresh("m5", "m3"); return s.refresh("m6", "m4") }},
	{job.MediaReserved, func(s *site) int64 { s.inventory("m5"); return s.inventory("m5") }},
	{job.CopyReserved, func(s *site) int64 {
		aux := find(job.AuxiliaryCopy, false)
		s.submit(aux, placesOfKind(aux, none))
		return s.submit(aux, placesOfKind(aux, none))
	}},
	{job.ClientBusy, func(s *site) int64 {
		s.onMain(job.Archive, computers[0])
		return s.onMain(job.Archive, computers[0])
	}},
	{job.WorkerSlots, func(s *site) int64 { s.onMain(job.RestoreVM); return s.onMain(job.RestoreVM) }},
	{job.WaitingForSessions, func(s *site) int64 { by, _ := s.interrupting(); return by }},
	{job.AlreadyInterrupted, func(s *site) int64 { s.interrupting(); return s.onMain(job.Restore, computers[2]) }},
	{job.VictimsHoldResources, func(s *site) int64 { s.interrupting(); return s.onMain(job.Reconcile) }},
	{job.VictimHoldsDrive, func(s *site) int64 {
		s.inventory("m1")
		s.refresh("m5", "m3")
		s.submit(find(job.Restore, true), onTape([]string{"m6"}, manager.Place{}), computers[0])
		return s.inventory("m2")
	}},
	{job.VictimHoldsMedia, func(s *site) int64 {
		s.refresh("m5", "m3")
		s.submit(find(job.Restore, true), onTape([]string{"m5"}, manager.Place{}), computers[0])
		return s.inventory("m5")
	}},
	{job.NoResources, func(s *site) int64 { _, victim := s.interrupting(); s.workOf(victim); return victim }},
	{job.Conflict, func(s *site) int64 { s.onMain(job.Backup, computers[0]); return s.onMain(job.Backup, computers[0]) }},
	{job.RestartAt, func(s *site) int64 {
		id := s.onMain(job.Verify)
		n, attempt, _ := s.someAttempt()
		s.finish(n, attempt, &keepwardv1.Failure{Kind: string(errs.Unavailable), Message: "gone"})
		s.report(n, false)
		s.pass(20 * time.Second)
		return id
	}},
	{job.KeptForSession, func(s *site) int64 {
		s.onMain(job.RestoreDB, computers[0], computers[1])
		first := s.onSecond(job.Compaction)
		aux := find(job.AuxiliaryCopy, false)
		s.submit(aux, placesOfKind(aux, none)) // it lacks a stream of the one and a writer of the other
		s.pass(job.DefaultClaimAfter + time.Minute)
		s.workOf(first)
		return s.onSecond(job.Compaction)
	}},
	{job.AfterJob, func(s *site) int64 {
		s.startJobs()
		s.runChained("nightly", "")
		return s.runChained("books", "nightly")
	}},
	{job.ServerPaused, func(s *site) int64 { s.pause(); return s.onMain(job.Verify) }},
	{job.ActivityDisabled, func(s *site) int64 {
		s.activity("server", true, gate.Verification)
		return s.onMain(job.Verify)
	}},
	{job.Throttle, func(s *site) int64 {
		s.limit("server", 1)
		s.onMain(job.Verify)
		return s.onMain(job.Verify)
	}},
	{job.OutsideWindow, func(s *site) int64 { s.window(false, "daily 12:00-13:00"); return s.onMain(job.Verify) }},
	{job.StartTime, func(s *site) int64 {
		return s.submitAt(time.Now().Add(time.Hour), find(job.Verify, false), onDisk(mainRepo, mainRepo))
	}},
	{job.HeartbeatLost, func(s *site) int64 { id := s.onMain(job.Verify); s.crash(); return id }},
}

// interrupting has a restore wait for a check that lets go of a stream.
func (s *site) interrupting() (by, victim int64) {
	s.onMain(job.RestoreDB, computers[0])
	victim = s.onMain(job.Verify)
	return s.onMain(job.Restore, computers[1]), victim
}

// elsewhere are the codes that no site of this package can reach, and where they are.
var elsewhere = map[job.Code]string{
	job.NoReason:             "it is no delay",
	job.RepositoryOffline:    "a repository that was removed: TestARepositoryThatIsGone",
	job.MountPathOffline:     "the mount paths of one repository are told apart with the issue of storage pools",
	job.NoPathWithSpace:      "the mount paths of one repository are told apart with the issue of storage pools",
	job.NotEnoughDrives:      "a set that can never be had: TestMoreDrivesThanExist",
	job.NoReservationOnDrive: "said by the transport of a library: the issue of tape",
	job.MediaUserInterrupted: "said by the transport of a library: the issue of tape",
	job.MediaGroupReserved:   "a group that is written to as a whole: the issue of tape",
	job.ServerLimit:          "internal/broker",
	job.SnapshotRetry:        "said by an agent: internal/manager",
	job.OnBattery:            "said by an agent: internal/manager, TestALaptopIsSpared",
	job.MeteredNetwork:       "the same",
}

func TestEveryReasonIsReached(t *testing.T) {
	seen := map[job.Code]bool{}
	for _, r := range reached {
		seen[r.code] = true
		t.Run(string(r.code), func(t *testing.T) {
			t.Parallel()
			inSite(t, 1, func(s *site) {
				id := r.do(s)
				s.check()
				if got := s.code(id); got != r.code {
					s.fail("the reason is %s: %s\n%s", got, s.session(id).GetReason().GetText(), s.log(id))
				}
				s.allDone()
			})
		})
	}
	for _, o := range outages {
		seen[o.reason.Code] = true
		t.Run(string(o.reason.Code), func(t *testing.T) {
			t.Parallel()
			inSite(t, 1, func(s *site) {
				s.broken(o.id.Kind, o.id.Name, o.reason)
				k := whoNeeds(o.id.Kind)
				id := s.try(k)
				s.expect(id, k.typ.Reservation().A.StatusFor(o.reason), o.reason.Code)
				s.allDone()
			})
		})
	}
	for _, r := range job.Reasons {
		if _, there := elsewhere[r.Code]; there == seen[r.Code] {
			t.Errorf("%s: reached %v, and elsewhere %v", r.Code, seen[r.Code], there)
		}
	}
}

// whoNeeds is a kind whose set has a line of a library's resource.
func whoNeeds(k broker.Kind) kind {
	switch k {
	case broker.Medium:
		return find(job.Restore, true)
	case broker.WorkerSlot:
		return find(job.RestoreVM, false)
	}
	return find(job.Archive, true)
}

func TestMoreDrivesThanExist(t *testing.T) {
	inSite(t, 1, func(s *site) {
		id := s.refresh("m5", "m3", "d1")
		s.expect(id, job.Waiting, job.NotEnoughDrives)
		s.pass(time.Hour)
		s.expect(id, job.Waiting, job.NotEnoughDrives)
		s.killSession(id)
		s.expect(id, job.Killed, "")
	})
}

func TestARepositoryThatIsGone(t *testing.T) {
	inSite(t, 1, func(s *site) {
		id := s.submit(find(job.Verify, false), onDisk("gone", mainRepo))
		s.expect(id, job.Waiting, job.RepositoryOffline)
		s.killSession(id)
		s.expect(id, job.Killed, "")
	})
}

// A step of a set that is switched off while somebody has it is not taken away.
func TestAnOutageTakesNothingFromWhoRuns(t *testing.T) {
	inSite(t, 1, func(s *site) {
		id := s.inventory("m5")
		s.broken(broker.Library, libName, job.Because(job.LibraryOffline, libName))
		s.expect(id, job.Running, "")
		s.allDone()
	})
}
