package sim

import (
	"strings"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/job"
	"keepward/internal/manager"
)

// These tests go through the tables of internal/job row by row: every job type on every storage,
// lacking nothing, something that is switched off, something that is in use, its second set.

func eachKind(t *testing.T, fn func(s *site, k kind)) {
	for _, k := range kinds() {
		t.Run(k.String(), func(t *testing.T) {
			t.Parallel()
			inSite(t, 1, func(s *site) { fn(s, k) })
		})
	}
}

func none(int) int { return 0 }

// try submits a session of a kind on the first computer.
func (s *site) try(k kind) int64 {
	s.t.Helper()
	on := ""
	if k.agents {
		on = computers[0]
	}
	id := s.submit(k, placesOfKind(k, none), on)
	s.check()
	return id
}

func find(t job.Type, tape bool) kind {
	for _, k := range kinds() {
		if k.typ == t && k.tape == tape {
			return k
		}
	}
	panic("no such kind: " + string(t))
}

// expect checks the status of a session, and the code of its reason unless that is empty.
func (s *site) expect(id int64, want job.Status, code job.Code) {
	s.t.Helper()
	s.check()
	if got := s.status(id); got != want || code != "" && s.code(id) != code {
		s.fail("session %d (%s) is %s (%s), want %s (%s)\n%s", id, s.known[id].typ, got, s.code(id), want, code, s.log(id))
	}
}

func (s *site) code(id int64) job.Code { return job.Code(s.session(id).GetReason().GetCode()) }

func (s *site) group(id int64) job.Group {
	row, _ := s.code(id).Row()
	return row.Group
}

func (s *site) holds(id int64) []broker.Hold {
	for _, g := range s.m.Holdings().Grants {
		if g.Session == id {
			return g.Holds
		}
	}
	return nil
}

// allDone works until all is over, and checks that all is well.
func (s *site) allDone() {
	s.t.Helper()
	s.settle()
	for id, k := range s.known {
		if !k.spoiled && s.status(id) != job.Completed {
			s.fail("session %d (%s) is %s\n%s", id, k.typ, s.status(id), s.log(id))
		}
	}
}

func TestABackupThatIsEndedEarlyKeepsWhatItHas(t *testing.T) {
	for name, how := range map[string]func(s *site, id int64){
		"its agent ends":       func(s *site, id int64) { s.workOf(id) },
		"its agent is away":    func(s *site, _ int64) { s.down(s.nodes[agentNode(computers[0])]); s.pass(10 * time.Minute) },
		"the server is killed": func(s *site, id int64) { s.crash(); s.connectAll(); s.workOf(id) },
	} {
		t.Run(name, func(t *testing.T) {
			inSite(t, 1, func(s *site) {
				id := s.onMain(job.Backup, computers[0])
				s.commitSession(id)
				s.expect(id, job.KillPending, "")
				how(s, id)
				s.expect(id, job.Committed, "")
				s.allDone()
			})
		})
	}
}

func TestARowThatLacksNothingRuns(t *testing.T) {
	eachKind(t, func(s *site, k kind) {
		id := s.try(k)
		if k.typ != job.Retention && k.typ != job.Rescan && k.typ != job.UpdateInstall { // their work is the server's own, and done by now
			s.expect(id, job.Running, "")
		}
		s.allDone()
	})
}

func TestARowThatLacksInfrastructure(t *testing.T) {
	eachKind(t, func(s *site, k kind) {
		if len(k.typ.Needs().A) == 0 {
			return
		}
		p := placesOfKind(k, none)
		if k.tape {
			down := job.Because(job.LibraryOffline, libName)
			s.tape.set(broker.ID{Kind: broker.Library, Name: libName}, &down)
			s.changed()
		} else {
			s.down(s.hostOf(p.Target.Repository))
		}
		if k.typ == job.UpdateInstall { // it wants nothing but its computer
			s.down(s.nodes[agentNode(computers[0])])
		}
		id := s.try(k)
		want := k.typ.Reservation().A.Infrastructure
		s.expect(id, want, "")
		if want == job.Failed {
			s.known[id].spoiled = true
		} else if s.group(id) != job.Infrastructure || len(s.holds(id)) > 0 {
			s.fail("it says %s, and holds %v", s.code(id), s.holds(id))
		}
		s.mendAll()
		s.allDone()
	})
}

// hostOf is the node of a repository's transport.
func (s *site) hostOf(repository string) *node {
	for _, n := range s.sorted() {
		if repository == mainRepo && n.Name == diskHost || repository != mainRepo && n.Name == tapeHost {
			return n
		}
	}
	panic("no host of " + repository)
}

// occupy has others hold what a kind needs, who cannot be interrupted: all streams of the main
// repository and one of the second, or all drives.
func (s *site) occupy(k kind) []int64 {
	s.t.Helper()
	if k.typ == job.UpdateInstall {
		return []int64{s.submit(find(job.RestoreDB, false), onDisk(mainRepo, mainRepo), computers[0])}
	}
	if !k.tape {
		db := find(job.RestoreDB, false)
		return []int64{s.submit(db, onDisk(mainRepo, mainRepo), computers[1], computers[2])}
	}
	index := s.submit(find(job.IndexRestore, true), onTape(freshMedia[1:], readFrom(fullMedia[1])))
	inventory := s.submit(find(job.MediaInventory, true), onTape(activeMedia[:1], manager.Place{}))
	return []int64{index, inventory}
}

func TestARowThatLacksWhatIsInUse(t *testing.T) {
	eachKind(t, func(s *site, k kind) {
		if len(k.typ.Needs().A) == 0 {
			return
		}
		for _, id := range s.occupy(k) {
			s.expect(id, job.Running, "")
		}
		id := s.try(k)
		if s.expect(id, k.typ.Reservation().A.Contention, ""); kindOf(s.group(id)) != job.Contention || len(s.holds(id)) > 0 {
			s.fail("it says %s, and holds %v", s.code(id), s.holds(id))
		}
		s.pass(5 * time.Minute) // who asks again and again is where it was
		s.expect(id, k.typ.Reservation().A.Contention, "")
		s.allDone()
	})
}

// secondSets are the kinds with a second step, each started while somebody reads its source
// medium.
func secondSets(t *testing.T, fn func(s *site, k kind, id, reader int64)) {
	for _, typ := range []job.Type{job.IndexRestore, job.SyntheticFull} {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			inSite(t, 1, func(s *site) {
				k := find(typ, true)
				reader := s.submit(find(job.MediaInventory, true), onTape(fullMedia[:1], manager.Place{}))
				s.expect(reader, job.Running, "")
				id := s.try(k)
				s.expect(id, job.Pending, job.MediaReserved)
				if len(s.holds(id)) != 4 && typ == job.IndexRestore {
					s.fail("it holds %v", s.holds(id))
				}
				fn(s, k, id, reader)
			})
		})
	}
}

// triesOf counts the tries for a second set in a session's log.
func (s *site) triesOf(id int64) int {
	n := 0
	for _, e := range s.events(id) {
		if strings.HasPrefix(e.GetText(), "try ") && job.Status(e.GetTo()) == job.Running {
			n++
		}
	}
	return n
}

func TestASecondSetIsTriedEveryTwentyMinutesAndAtMost144Times(t *testing.T) {
	secondSets(t, func(s *site, k kind, id, _ int64) {
		step := k.typ.Reservation().B
		s.pass(step.Every - time.Minute)
		if n := s.triesOf(id); n != 0 {
			s.fail("%d tries before the time", n)
		}
		s.pass(2 * time.Minute)
		if n := s.triesOf(id); n != 1 {
			s.fail("%d tries, want 1\n%s", n, s.log(id))
		}
		s.expect(id, job.Pending, job.MediaReserved)
		s.passBy(time.Duration(step.Tries-1)*step.Every-time.Minute-beatEvery, 5*time.Minute)
		s.expect(id, job.Pending, job.MediaReserved)
		s.passBy(2*time.Minute, time.Minute)
		if n := s.triesOf(id); n != step.Tries {
			s.fail("%d tries, want %d", n, step.Tries)
		}
		if len(s.holds(id)) > 0 {
			s.fail("it gave up, and holds %v", s.holds(id))
		}
		if step.Then == job.Failed {
			s.known[id].spoiled = true
			s.expect(id, job.Failed, "")
		} else {
			s.expect(id, job.Pending, job.RestartAt)
		}
		s.allDone()
	})
}

func TestASecondSetThatIsReleasedIsGranted(t *testing.T) {
	secondSets(t, func(s *site, _ kind, id, reader int64) {
		s.workOf(reader)
		s.expect(reader, job.Completed, "")
		s.expect(id, job.Running, "")
		s.allDone()
	})
}

// workOf has what runs of a session end.
func (s *site) workOf(id int64) {
	for _, n := range s.sorted() {
		for _, attempt := range n.attempts() {
			if n.work[attempt].session == id {
				s.finish(n, attempt, nil)
			}
		}
		s.report(n, false)
	}
}

func TestASourceMediumThatIsGone(t *testing.T) {
	secondSets(t, func(s *site, k kind, id, reader int64) {
		out := job.Because(job.MediaOutsideLibrary, fullMedia[0])
		s.tape.set(broker.ID{Kind: broker.Medium, Name: fullMedia[0]}, &out)
		s.changed()
		s.expect(id, job.Pending, job.MediaOutsideLibrary)
		if keeps := len(s.holds(id)) > 0; keeps != (k.typ == job.SyntheticFull) {
			s.fail("it keeps its first set: %v", keeps)
		}
		s.mendAll()
		s.allDone()
	})
}

func TestWhoWaitsForItsSecondSetIsInterruptedWhateverItsFlags(t *testing.T) {
	secondSets(t, func(s *site, _ kind, id, _ int64) {
		by := s.submit(find(job.Restore, true), onTape(fullMedia[1:], manager.Place{}), computers[0])
		s.prioritise(by, 1)
		s.expect(by, job.Running, "")
		s.expect(id, job.Waiting, job.NoResources)
		if len(s.holds(id)) > 0 {
			s.fail("it holds %v", s.holds(id))
		}
		s.allDone()
	})
}

func TestAServerThatStartsAnewTakesASecondSetUpFromTheFirst(t *testing.T) {
	secondSets(t, func(s *site, k kind, id, reader int64) {
		s.crash()
		s.connectAll()
		s.expect(reader, job.Running, "")
		if k.typ == job.IndexRestore { // who asked has lost the server
			s.expect(id, job.Killed, "")
			return
		}
		s.expect(id, job.Pending, job.MediaReserved)
		s.allDone()
	})
}

// victims are the kinds that a restore may interrupt, on a disk whose streams are all in use.
func TestAVictimComesBack(t *testing.T) {
	eachKind(t, func(s *site, k kind) {
		phase, _ := k.typ.Phase(k.typ.MainPhase())
		if k.tape || !phase.Preemptable || !job.Restore.MayPreempt(k.typ, job.Switches{}) || k.typ == job.Retention {
			return
		}
		blocker := s.submit(find(job.RestoreDB, false), onDisk(mainRepo, mainRepo), computers[1])
		victim := s.try(k)
		s.expect(victim, job.Running, "")
		by := s.submit(find(job.Restore, false), onDisk(mainRepo, mainRepo), computers[2])
		s.prioritise(by, 1)
		s.expect(by, job.Pending, job.WaitingForSessions)
		s.expect(victim, job.InterruptPending, "")
		if code := s.code(victim); code != "" {
			s.fail("while it lets go its reason is %s", code)
		}
		s.workOf(victim) // it obeys
		s.expect(by, job.Running, "")
		s.expect(victim, k.typ.Reservation().A.Contention, job.NoResources)
		s.workOf(by)
		s.expect(victim, job.Running, "")
		s.expect(blocker, job.Running, "")
		s.allDone()
	})
}

func TestAMediaRefreshLetsGoWithoutAStatusForIt(t *testing.T) {
	inSite(t, 1, func(s *site) {
		victim := s.try(find(job.MediaRefresh, true))
		by := s.submit(find(job.Restore, true), onTape(fullMedia[:1], manager.Place{}), computers[0])
		s.expect(victim, job.Running, "")
		s.expect(by, job.Pending, job.WaitingForSessions)
		s.workOf(victim)
		s.expect(victim, job.Waiting, job.NoResources)
		s.expect(by, job.Running, "")
		s.workOf(by)
		s.expect(victim, job.Running, "")
		s.allDone()
		if hasStatus(s.events(victim), job.InterruptPending) {
			s.fail("it has a row for %s", job.InterruptPending)
		}
	})
}

func TestAMediaRefreshThatDoesNotLetGoIsCutOff(t *testing.T) {
	inSite(t, 1, func(s *site) {
		victim := s.try(find(job.MediaRefresh, true))
		by := s.submit(find(job.Restore, true), onTape(fullMedia[:1], manager.Place{}), computers[0])
		s.pass(job.DefaultLeavingLimit + time.Minute)
		s.expect(by, job.Running, "")
		s.expect(victim, job.Pending, job.RestartAt)
		s.allDone()
	})
}

func hasStatus(events []*keepwardv1.Event, status job.Status) bool {
	for _, e := range events {
		if job.Status(e.GetTo()) == status {
			return true
		}
	}
	return false
}

func TestADriveThatWasChosenIsHeldOverAStartOfTheServer(t *testing.T) {
	inSite(t, 1, func(s *site) {
		a := s.submit(find(job.MediaInventory, true), onTape(fullMedia[:1], manager.Place{}))
		b := s.submit(find(job.MediaInventory, true), onTape(fullMedia[1:], manager.Place{}))
		before := [2][]broker.Hold{s.holds(a), s.holds(b)}
		s.crash()
		s.connectAll()
		s.check()
		for i, id := range []int64{a, b} {
			s.expect(id, job.Running, "")
			if got := s.holds(id); len(got) != len(before[i]) || got[0] != before[i][0] {
				s.fail("session %d held %v, and %v after the start", id, before[i], got)
			}
		}
		s.allDone()
	})
}
