package broker

import (
	"cmp"
	"slices"

	"keepward/internal/job"
)

// Kind is a sort of resource.
type Kind string

// The kinds.
const (
	Stream     Kind = "stream"      // one task's right to move data to or from a repository
	Writer     Kind = "writer"      // one task's right to write to a mount path
	Library    Kind = "library"     // presence: nothing of it is taken
	DrivePool  Kind = "drive-pool"  // how many drives of a pool may be taken at once
	Drive      Kind = "drive"       // one drive
	Medium     Kind = "medium"      // one medium
	MediaGroup Kind = "media-group" // the media that one copy writes to
	Spare      Kind = "spare"       // media that may refill a group
	CopySet    Kind = "copy"        // a named set of restore points on one repository or library
	WorkerSlot Kind = "worker-slot" // one task of a worker
	Client     Kind = "client"      // one task of a computer
	Server     Kind = "server"      // one task of the whole server
)

// kindRow is what there is to know of a kind.
type kindRow struct {
	// offline is the reason for a resource that is not there, where it gave none itself.
	offline job.Code
	// short is the reason for one of which not enough is free.
	short job.Code
	// alone replaces short where one holder wants all of it.
	alone job.Code
	// preempt says that a shortage of it justifies an interruption.
	preempt bool
}

var kinds = map[Kind]kindRow{
	Stream:     {job.RepositoryOffline, job.StreamsShort, job.StreamsShort, true},
	Writer:     {job.MountPathOffline, job.WritersLimit, job.MountPathReserved, true},
	Library:    {job.LibraryOffline, job.NoResources, job.NoResources, false},
	DrivePool:  {job.DrivePoolOffline, job.DrivesExceedAllotment, job.DrivesExceedAllotment, true},
	Drive:      {job.NotEnoughDrives, job.DriveReserved, job.DriveReserved, true},
	Medium:     {job.MediaOutsideLibrary, job.MediaReserved, job.MediaReserved, true},
	MediaGroup: {job.NotEnoughMedia, job.MediaGroupReserved, job.MediaGroupReserved, false},
	Spare:      {job.NoSpares, job.NoSpares, job.NoSpares, false},
	CopySet:    {job.CopyReserved, job.CopyReserved, job.CopyReserved, false},
	WorkerSlot: {job.WorkerUnavailable, job.WorkerSlots, job.WorkerSlots, false},
	Client:     {job.AgentOffline, job.ClientBusy, job.ClientBusy, false},
	Server:     {job.ServerLimit, job.ServerLimit, job.ServerLimit, false},
}

// ID names a resource among all.
type ID struct {
	Kind Kind
	Name string
}

// Resource is something countable that a task must hold.
type Resource struct {
	ID
	// Label is the name for people; empty means Name.
	Label    string
	Capacity int
	// FreeBytes ranks mount paths when a need leaves the choice: most free first.
	FreeBytes int64
	// Down is why nobody can have it now; nil means it is there.
	Down *job.Reason
}

func (r Resource) label() string { return cmp.Or(r.Label, r.Name) }

// removed marks a resource that is held or wanted by somebody but is no longer in use.
const removed = -1

func gone(id ID) Resource { return Resource{ID: id, Capacity: removed} }

// Need is one line of a set: a count of one resource, or of any one of several.
type Need struct {
	Kind  Kind
	AnyOf []string
	// Count is how much is taken. 0 takes nothing, and asks only that the resource is there.
	Count int
	// Alone asks for the whole resource, with nobody else on it.
	Alone bool
	// Spread lets the count come from several of the resources, as two drives do.
	Spread bool
	// Group is what people call the resources of AnyOf together: the name of a pool.
	Group string
}

// One is the need for one unit of one resource.
func One(kind Kind, name string) Need { return Need{Kind: kind, AnyOf: []string{name}, Count: 1} }

// count is how much of r the need takes; alone it is all there is, one at least.
func (n Need) count(r *resource) int {
	if n.Alone {
		return max(r.Capacity, 1)
	}
	return n.Count
}

// Hold is one resource in a grant.
type Hold struct {
	ID
	Count int
	Alone bool
}

// resource is a Resource, who has it and who wants it.
type resource struct {
	Resource
	used    int
	alone   int // holders that want nobody beside them
	holders map[string]*Grant
	blocked queue // who waits for it before all
	claims  queue // who has a claim on it
	wanted  map[*waiter]struct{}
}

func newResource(id ID) *resource {
	return &resource{Resource: gone(id), holders: map[string]*Grant{}, wanted: map[*waiter]struct{}{}}
}

// there tells whether somebody could have it now or later without a change of the resource.
func (r *resource) there() bool { return r != nil && r.Capacity != removed && r.Down == nil }

// idle tells whether nobody would miss a removed resource.
func (r *resource) idle() bool {
	return r.Capacity == removed && len(r.holders) == 0 && len(r.wanted) == 0
}

// sessions names who holds r, first come first.
func (r *resource) sessions() []int64 {
	list := make([]int64, 0, len(r.holders))
	for _, g := range r.holders {
		list = append(list, g.Session)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// queue is waiters in the order in which they are served.
type queue []*waiter

func (q *queue) add(w *waiter) {
	if i, found := slices.BinarySearchFunc(*q, w, order); !found {
		*q = slices.Insert(*q, i, w)
	}
}

func (q *queue) drop(w *waiter) {
	if i, found := slices.BinarySearchFunc(*q, w, order); found {
		*q = q.without(i)
	}
}

// without leaves out the waiter at i, and moves those on the shorter side: who is served stands
// before thousands.
func (q queue) without(i int) queue {
	if i < len(q)/2 {
		copy(q[1:], q[:i])
		q[0] = nil
		return q[1:]
	}
	return slices.Delete(q, i, i+1)
}

// after is the first waiter behind w; of all, when w is nil.
func (q queue) after(w *waiter) *waiter {
	i := 0
	if w != nil {
		at, found := slices.BinarySearchFunc(q, w, order)
		if i = at; found {
			i++
		}
	}
	if i == len(q) {
		return nil
	}
	return q[i]
}

// order serves the lower number first, among equals who came first; the task's name
// makes it total, so that the same state always decides the same.
func order(a, b *waiter) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.Since.Compare(b.Since), cmp.Compare(a.Task, b.Task))
}
