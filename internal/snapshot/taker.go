package snapshot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"keepward/internal/errs"
)

// Taker takes the snapshots that a backup needs: it finds the volumes and gives each the best
// kind that fits.
type Taker struct {
	// Providers are tried in this order; the last fits everything.
	Providers []Provider
	// Mounts is where snapshots are mounted that must be to be read.
	Mounts string
	// Volumes answers what is mounted.
	Volumes func() ([]Volume, error)
	// Wait waits for a time, or for the end of its context.
	Wait func(ctx context.Context, d time.Duration) error
}

// NewTaker makes one with all kinds that this system has. mounts is a directory for what must be
// mounted to be read, and for notes; nobody else looks into it.
func NewTaker(mounts string) *Taker {
	return &Taker{Providers: kinds(mounts), Mounts: mounts, Volumes: Volumes, Wait: wait}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Own are the directories in the live tree that have snapshots of ours, or may have.
func (t *Taker) Own() ([]string, error) {
	mounts, err := t.Volumes()
	var out []string
	for _, v := range mounts {
		if v.Type == "btrfs" && v.Root == "/" {
			out = append(out, join(v.Mount, BtrfsDir))
		}
	}
	return out, err
}

// Request is what a set of snapshots is for.
type Request struct {
	Name Name
	// Include are the paths that are read, without symlinks above them.
	Include []string
	// Wanted says of a directory where a file system begins whether it is read.
	Wanted func(path string) bool
	// Retries is how often a snapshot that failed is tried again.
	Retries int
	// Retry is told before each of these, which waits a while.
	Retry func(v Volume, n int, err error)
	// Live has every volume read as it is.
	Live bool
}

// Plan is what a Request comes to.
type Plan struct {
	Request
	// Mounts is what is mounted and can be seen, Needed that of it which is read.
	Mounts, Needed []Volume
}

// Choice is what became of a volume.
type Choice struct {
	Volume   Volume
	Kind     Kind
	Parts    int
	Why      []string // of each better kind why it was not taken
	Duration time.Duration
}

// Set is the snapshots of one backup.
type Set struct {
	Snapshots []*Snapshot
	Choices   []Choice
	// Beside are what is mounted within what was taken and is read as it is.
	Beside []Volume
}

const (
	// tryLimit bounds one try at one volume, unless its provider is Slow: a kernel that hangs must not
	// hang the backup.
	tryLimit = time.Minute
	// removeLimit bounds the removal of one snapshot.
	removeLimit = time.Minute
)

// backoff is how long to wait before try again number n, from 1 on: what held the volume a second
// ago is asked again soon, what holds it longer a little later.
func backoff(n int) time.Duration { return time.Second << min(n-1, 5) }

// WaitForTry waits before try again number n.
func (t *Taker) WaitForTry(ctx context.Context, n int) error { return t.Wait(ctx, backoff(n)) }

// Plan finds the volumes that a set is taken of.
func (t *Taker) Plan(r Request) (*Plan, error) {
	mounts, err := t.Volumes()
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "snapshot.volumes", "find the volumes to snapshot: %w", err)
	}
	// What another backup reads now is no volume.
	mounts = slices.DeleteFunc(visible(mounts), func(v Volume) bool { return t.Mounts != "" && within(v.Mount, t.Mounts) })
	return &Plan{Request: r, Mounts: mounts, Needed: t.needed(mounts, r)}, nil
}

// Take takes a set. If one volume fails in the end, there is none.
func (t *Taker) Take(ctx context.Context, p *Plan) (*Set, error) {
	set := &Set{}
	for i, v := range p.Needed {
		r := p.Request
		r.Name = r.Name.of(i)
		s, c, err := t.one(ctx, v, r)
		if err != nil {
			t.Remove(ctx, set, func(error) {}) // what is left the next start finds
			return nil, err
		}
		set.Choices = append(set.Choices, c)
		if len(s.Parts) > 0 {
			set.Snapshots = append(set.Snapshots, s)
		}
	}
	set.Beside = beside(p.Mounts, set)
	return set, nil
}

// needed are the volumes that are read: those that the include paths lie in, and those mounted
// below them.
func (t *Taker) needed(mounts []Volume, r Request) []Volume {
	want := make(map[int]bool)
	for _, inc := range r.Include {
		best := -1
		for i, v := range mounts {
			if within(inc, v.Mount) && (best < 0 || len(v.Mount) >= len(mounts[best].Mount)) {
				best = i
			}
			if v.Mount != inc && within(v.Mount, inc) && r.Wanted(v.Mount) {
				want[i] = true
			}
		}
		if best >= 0 {
			want[best] = true
		}
	}
	var out []Volume
	for i, v := range mounts {
		if want[i] && !shows[v.Type] {
			out = append(out, v)
		}
	}
	return out
}

// shows are the types of file systems that only show the state of the system or of this session,
// of which nothing is read or which nobody would snapshot.
var shows = map[string]bool{
	"proc": true, "sysfs": true, "cgroup": true, "cgroup2": true, "devtmpfs": true, "devpts": true, "mqueue": true, "debugfs": true, "tracefs": true,
	"securityfs": true, "bpf": true, "pstore": true, "efivarfs": true, "configfs": true, "fusectl": true, "autofs": true, "binfmt_misc": true,
	"hugetlbfs": true, "rpc_pipefs": true, "nsfs": true, "selinuxfs": true, "resctrl": true,
}

// ownKinds are the types of file systems that have snapshots of their own; NTFS and ReFS are what Windows
// calls its own, and no names of Linux.
var ownKinds = map[string]bool{"btrfs": true, "zfs": true, ntfs: true, refs: true}

// one gives a volume the best kind that fits, and tries again what fails.
func (t *Taker) one(ctx context.Context, v Volume, r Request) (*Snapshot, Choice, error) {
	c := Choice{Volume: v}
	for _, p := range t.Providers {
		if r.Live && p.Kind() != None {
			continue
		}
		start := time.Now()
		s, err := t.tried(ctx, p, v, r)
		var no *Unfit
		if errors.As(err, &no) {
			if !no.Other {
				c.Why = append(c.Why, string(p.Kind())+": "+no.Why)
			}
			continue
		}
		if err != nil {
			return nil, c, err
		}
		if p.Kind() == None && !r.Live && !ownKinds[v.Type] {
			c.Why = append([]string{v.Type + " has no snapshots of its own"}, c.Why...)
		}
		c.Kind, c.Parts, c.Duration = p.Kind(), len(s.Parts), time.Since(start)
		return s, c, nil
	}
	return nil, c, errs.New(errs.Internal, "", "take snapshot of %s: nothing fits", v.Mount)
}

// tried takes one snapshot, in several tries if need be.
func (t *Taker) tried(ctx context.Context, p Provider, v Volume, r Request) (*Snapshot, error) {
	for n := 1; ; n++ {
		s, err := t.try(ctx, p, v, r)
		var no *Unfit
		if err == nil || errors.As(err, &no) {
			return s, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if n > r.Retries {
			if n > 1 {
				err = fmt.Errorf("%w, tried %d times", err, n)
			}
			return nil, errs.New(errs.KindOf(err), "snapshot.failed", "%w", err).
				WithHint("the job can read the live file system instead: keepward job edit NAME --live")
		}
		r.Retry(v, n, err)
		if err := t.WaitForTry(ctx, n); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// try takes one snapshot. What a try before may have left goes first.
func (t *Taker) try(ctx context.Context, p Provider, v Volume, r Request) (*Snapshot, error) {
	limit := tryLimit
	if slow, ok := p.(Slow); ok {
		limit = slow.TryLimit()
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := p.Fits(ctx, v); err != nil {
		return nil, err
	}
	return p.Create(ctx, v, r.Name, r.Wanted)
}

// beside are the mounts within the parts of a set that have no part of their own.
func beside(mounts []Volume, set *Set) []Volume {
	var out []Volume
	for _, v := range mounts {
		in, own := false, false
		for _, s := range set.Snapshots {
			own = own || s.Volume.ID == v.ID
			in = in || v.Mount != s.Volume.Mount && within(v.Mount, s.Volume.Mount)
		}
		if in && !own {
			out = append(out, v)
		}
	}
	return out
}

// provider is the one of a kind.
func (t *Taker) provider(k Kind) Provider {
	i := slices.IndexFunc(t.Providers, func(p Provider) bool { return p.Kind() == k })
	if i < 0 {
		return none{}
	}
	return t.Providers[i]
}

// Remove removes a set. It goes on when ctx is done, for a bounded time: what is taken is given
// back whatever happens.
func (t *Taker) Remove(ctx context.Context, set *Set, failed func(error)) {
	for _, s := range set.Snapshots {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
		if err := t.provider(s.Kind).Remove(ctx, s.Volume, s.Name); err != nil {
			failed(errs.New(errs.KindOf(err), "snapshot.remove", "remove snapshot %s of %s: %w", s.Name, s.Volume.Mount, err))
		}
		cancel()
	}
}

// Keep gives a snapshot the name under which it is kept. One that has it is removed.
func (t *Taker) Keep(ctx context.Context, s *Snapshot, as Name) error {
	k, can := t.provider(s.Kind).(Keeper)
	if !can {
		return errs.New(errs.Internal, "", "keep the snapshot of %s: not one of %s", s.Volume.Mount, s.Kind)
	}
	if err := k.Keep(ctx, s.Volume, s.Name, as); err != nil {
		return errs.New(errs.KindOf(err), "snapshot.keep", "keep the snapshot of %s for the next backup: %w", s.Volume.Mount, err)
	}
	s.Name = as
	return nil
}

// Former makes the snapshot readable that is kept of a volume under a name: its parts lie below
// root, by their IDs, until done is called.
func (t *Taker) Former(ctx context.Context, s *Snapshot, as Name) (root string, done func(), err error) {
	return t.provider(s.Kind).Open(ctx, &Snapshot{Kind: s.Kind, Volume: s.Volume, Name: as})
}

// Sweep removes the snapshots of an owner that nobody knows: of transfers that were cut, and kept
// ones of which the time is over. It answers what it removed, such as "btrfs of /srv", and tells
// failed what it could not.
func (t *Taker) Sweep(ctx context.Context, owner string, known func(Name) bool, failed func(error)) []string {
	mounts, err := t.Volumes()
	if err != nil {
		failed(err)
		return nil
	}
	var out []string
	seen := map[string]bool{}
	for _, v := range visible(mounts) {
		for _, p := range t.Providers {
			// A file system that is mounted several times is looked at once.
			key := strings.Join([]string{string(p.Kind()), v.Type, v.Source, v.Device}, " ")
			if seen[key] || ctx.Err() != nil || p.Fits(ctx, v) != nil {
				continue
			}
			seen[key] = true
			names, err := p.List(ctx, v, owner)
			if err != nil {
				failed(err)
			}
			for _, n := range names {
				if known(n) {
					continue
				}
				if err := p.Remove(ctx, v, n); err != nil {
					failed(err)
					continue
				}
				out = append(out, string(p.Kind())+" of "+v.Mount)
			}
		}
	}
	return out
}

// CanEnd tells whether a snapshot of a set may end while it is read.
func (t *Taker) CanEnd(set *Set) bool {
	return slices.ContainsFunc(set.Snapshots, func(s *Snapshot) bool { _, ok := t.provider(s.Kind).(Checker); return ok })
}

// Check answers why what was read of a set may not be its state; nil: it is.
func (t *Taker) Check(ctx context.Context, set *Set) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	for _, s := range set.Snapshots {
		c, ok := t.provider(s.Kind).(Checker)
		if !ok {
			continue
		}
		err := c.Check(ctx, s)
		var e *Ended
		switch {
		case errors.As(err, &e):
			return errs.New(errs.Unavailable, "snapshot.overflow", "read the snapshot of %s: %s; the volume itself is unharmed", s.Volume.Mount, e.Why).WithHint("%s", e.Hint)
		case err != nil:
			return errs.New(errs.KindOf(err), "snapshot.check", "find out whether the snapshot of %s is still whole: %w", s.Volume.Mount, err)
		}
	}
	return nil
}

// Opened is a set that can be read.
type Opened struct {
	set   *Set
	roots []string
	done  []func()
}

// Open makes a set readable until Close.
func (t *Taker) Open(ctx context.Context, set *Set) (*Opened, error) {
	o := &Opened{set: set}
	for _, s := range set.Snapshots {
		root, done, err := t.provider(s.Kind).Open(ctx, s)
		if err != nil {
			o.Close()
			return nil, errs.New(errs.KindOf(err), "snapshot.open", "open the snapshot of %s: %w", s.Volume.Mount, err)
		}
		o.roots, o.done = append(o.roots, root), append(o.done, done)
	}
	return o, nil
}

// Each calls fn for every part with where it can be read; empty: at its own place.
func (o *Opened) Each(fn func(s *Snapshot, p Part, from string)) {
	for i, s := range o.set.Snapshots {
		for _, p := range s.Parts {
			from := ""
			if !p.Live {
				from = path.Join(o.roots[i], p.Path)
			}
			fn(s, p, from)
		}
	}
}

// Close ends the reading.
func (o *Opened) Close() {
	for _, done := range o.done {
		done()
	}
	o.done = nil
}
