package sim

import (
	"fmt"

	"keepward/internal/broker"
	"keepward/internal/job"
	"keepward/internal/manager"
)

// library is what a tape library gives to hold: drives in a pool, media in a group, spares, a
// copy; and a worker on a hypervisor. Each may be down for a reason.
type library struct {
	list []broker.Resource
}

const (
	libName    = "lib"
	poolName   = "pool"
	groupName  = "weekly"
	copyName   = "offsite"
	workerName = "worker1"
)

// The media: two active ones, fresh ones for second copies, and full ones to read from.
var (
	drives      = []string{"d1", "d2", "d3"}
	activeMedia = []string{"m1", "m2"}
	freshMedia  = []string{"m3", "m4"}
	fullMedia   = []string{"m5", "m6"}
)

func newLibrary() *library {
	l := &library{}
	add := func(k broker.Kind, name string, capacity int) {
		l.list = append(l.list, broker.Resource{ID: broker.ID{Kind: k, Name: name}, Capacity: capacity})
	}
	add(broker.Library, libName, 1)
	add(broker.DrivePool, poolName, len(drives))
	add(broker.MediaGroup, groupName, 1)
	add(broker.Spare, groupName, 1)
	add(broker.CopySet, copyName, 1)
	add(broker.WorkerSlot, workerName, 1)
	for _, d := range drives {
		add(broker.Drive, d, 1)
	}
	for _, list := range [][]string{activeMedia, freshMedia, fullMedia} {
		for _, m := range list {
			add(broker.Medium, m, 1)
		}
	}
	return l
}

func (l *library) resources() []broker.Resource { return append([]broker.Resource(nil), l.list...) }

// set puts something out of use for a reason, or back in use; it answers whether there is such
// a thing.
func (l *library) set(id broker.ID, down *job.Reason) bool {
	for i := range l.list {
		if l.list[i].ID == id {
			l.list[i].Down = down
			return true
		}
	}
	return false
}

func (l *library) mend() {
	for i := range l.list {
		l.list[i].Down = nil
	}
}

// outages are what may be wrong with a library, each by the code that the operator is shown.
var outages = []struct {
	id     broker.ID
	reason job.Reason
}{
	{broker.ID{Kind: broker.Library, Name: libName}, job.Because(job.LibraryOffline, libName)},
	{broker.ID{Kind: broker.Library, Name: libName}, job.Because(job.LibraryControllerOffline, libName)},
	{broker.ID{Kind: broker.Library, Name: libName}, job.Because(job.LibraryControllerServiceDown, tapeHost)},
	{broker.ID{Kind: broker.Library, Name: libName}, job.Because(job.NoActiveControllerLibrary, libName)},
	{broker.ID{Kind: broker.Library, Name: libName}, job.Because(job.HostOffline, tapeHost)},
	{broker.ID{Kind: broker.DrivePool, Name: poolName}, job.Because(job.DrivePoolOffline, poolName)},
	{broker.ID{Kind: broker.DrivePool, Name: poolName}, job.Because(job.MasterPoolOffline, poolName)},
	{broker.ID{Kind: broker.DrivePool, Name: poolName}, job.Because(job.PoolUsedByCopy, poolName, copyName)},
	{broker.ID{Kind: broker.MediaGroup, Name: groupName}, job.Because(job.NotEnoughMedia, groupName)},
	{broker.ID{Kind: broker.Spare, Name: groupName}, job.Because(job.NoSpares, groupName)},
	{broker.ID{Kind: broker.Spare, Name: groupName}, job.Because(job.SparesOutside, groupName)},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.MediaOutsideLibrary, "m5")},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.MediaNotInSlot, "m5")},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.MediaStuck, "m5", "d1")},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.MediaExported, "m5")},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.MediaInUse, "m5")},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.OppositeSideReserved, "m5")},
	{broker.ID{Kind: broker.Medium, Name: "m5"}, job.Because(job.VolumeMounting, "m5")},
	{broker.ID{Kind: broker.WorkerSlot, Name: workerName}, job.Because(job.WorkerUnavailable, workerName)},
	{broker.ID{Kind: broker.WorkerSlot, Name: workerName}, job.Because(job.HypervisorOffline, workerName)},
}

// onTape are the places of a task whose target lies in the library.
func onTape(media []string, source manager.Place) manager.Places {
	return manager.Places{
		Target: manager.Place{
			Repository: vault, Library: libName, Pool: poolName, Drives: drives, Group: groupName, Media: media, Copy: copyName,
		},
		Source: source, Worker: workerName,
	}
}

// readFrom is the source that lies in the library.
func readFrom(media ...string) manager.Place {
	return manager.Place{Repository: vault, Library: libName, Pool: poolName, Drives: drives, Media: media}
}

// onDisk are the places of a task on disks.
func onDisk(target, source string) manager.Places {
	return manager.Places{
		Target: manager.Place{Repository: target, Copy: copyName}, Source: manager.Place{Repository: source}, Worker: workerName,
	}
}

// kind is a way in which a job type may come: where its ends lie.
type kind struct {
	typ    job.Type
	tape   bool
	agents bool // a computer takes part
}

func (k kind) String() string {
	where := "disk"
	if k.tape {
		where = "tape"
	}
	return fmt.Sprintf("%s on %s", k.typ, where)
}

// kinds lists every job type on every storage that it can be on.
func kinds() []kind {
	var out []kind
	for _, r := range job.Types {
		disk, tape, agents := true, false, false
		for _, n := range r.Type.Needs().A {
			tape = tape || n.On == job.Tape
			agents = agents || n.Kind == job.KindClient
		}
		switch r.Type {
		case job.MediaRefresh, job.MediaExport, job.MediaErase, job.MediaInventory:
			disk = false // there is nothing of a disk to refresh or to export
		case job.Backup:
			tape = false // its movers are real to the server, and write to repositories
		}
		if disk {
			out = append(out, kind{r.Type, false, agents})
		}
		if tape {
			out = append(out, kind{r.Type, true, agents})
		}
	}
	return out
}

// placesOfKind says what stands where for a session of a kind; pick chooses among media.
func placesOfKind(k kind, pick func(n int) int) manager.Places {
	media, source := activeMedia, manager.Place{Repository: mainRepo}
	switch k.typ {
	case job.SyntheticFull, job.IndexRestore:
		media, source = freshMedia, readFrom(fullMedia[pick(len(fullMedia))])
	case job.MediaRefresh:
		media, source = freshMedia, readFrom(fullMedia[pick(len(fullMedia))])
	case job.Restore, job.RestoreVM, job.RestoreSearch, job.SiloRestore, job.MediaExport, job.MediaErase, job.MediaInventory:
		media = fullMedia[pick(len(fullMedia)):][:1]
	case job.Copy, job.Migrate, job.AuxiliaryCopy:
		if k.tape && pick(2) == 0 {
			source = readFrom(fullMedia[pick(len(fullMedia))])
		}
	}
	if k.tape {
		return onTape(media, source)
	}
	target := mainRepo
	switch k.typ {
	case job.Copy, job.Migrate, job.AuxiliaryCopy:
		target = second
	}
	p := onDisk(target, mainRepo)
	p.Agent = "PostgreSQL"
	return p
}
