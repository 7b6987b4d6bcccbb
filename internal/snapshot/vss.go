package snapshot

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"keepward/internal/errs"
)

// vss has Windows make shadow copies of volumes. They bear no name, so it is noted here what each is
// called, and they are not persistent: Windows releases them when the process is gone that made them,
// whatever it died of. It is tested against a double of the service only.
type vss struct {
	service VSSService
	notes   notes
	// turn has room for who makes a shadow copy: a computer makes one set at a time.
	turn chan struct{}
	// threads have each an owner that waits for it: who makes a shadow copy, who removes it, who asks.
	// What Windows does not answer is left alone.
	threads sync.WaitGroup

	mu   sync.Mutex
	have map[shadowKey]*shadow
}

// shadowKey is what a shadow copy is found by.
type shadowKey struct {
	volume string // its name
	name   Name
}

// NewVSS makes the provider for shadow copies of Windows. dir is where is noted which there are.
func NewVSS(service VSSService, dir string) Provider {
	return &vss{service: service, notes: notes{dir}, turn: make(chan struct{}, 1), have: map[shadowKey]*shadow{}}
}

// What Windows calls its file systems that shadow copies are made of.
const (
	ntfs = "NTFS"
	refs = "ReFS"
)

// vssTry is how long a try may take: Windows gives the writers a minute from freeze to thaw, and asks
// all of them before.
const vssTry = 2 * time.Minute

func (*vss) Kind() Kind { return VSS }

func (*vss) TryLimit() time.Duration { return vssTry }

// Fits goes by what is known of the volume. Windows itself says only while one is made whether it can.
func (*vss) Fits(_ context.Context, v Volume) error {
	switch {
	case v.Type != ntfs && v.Type != refs:
		return &Unfit{Why: "it is neither NTFS nor ReFS", Other: true}
	case !strings.HasPrefix(v.Source, volumePrefix):
		return unfit("it is a directory that has a letter")
	case v.ReadOnly:
		return unfit("the volume is read-only")
	}
	return nil
}

// Create makes a shadow copy of the whole volume. It returns soon after ctx has ended, whatever
// Windows does; what comes of it late is removed.
func (p *vss) Create(ctx context.Context, v Volume, n Name, _ func(string) bool) (*Snapshot, error) {
	s, err := p.begin(ctx, v, n)
	if err != nil {
		return nil, failed(VSS, v, err)
	}
	select {
	case err = <-s.taken:
		if err == nil {
			s.snap.Parts = []Part{{At: v.Mount, ID: v.Source, Path: ".", Device: deviceOf(v.Mount)}}
			return s.snap, nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
		s.drop(err)
	}
	return nil, failed(VSS, v, s.settled(err))
}

// settled waits a moment for the end of what came to nothing, and answers why it did: where Windows says
// it in time, with what it was at.
func (s *shadow) settled(err error) error {
	timer := time.NewTimer(killWait)
	defer timer.Stop()
	select {
	case <-s.gone:
	case <-timer.C:
	}
	select {
	case why := <-s.taken:
		if why != nil {
			return why
		}
	default:
	}
	return err
}

// begin has a thread make a shadow copy, when nobody else of this process makes one.
func (p *vss) begin(ctx context.Context, v Volume, n Name) (*shadow, error) {
	key := shadowKey{v.Source, n}
	if old := p.find(key); old != nil { // of a try before
		if err := old.ended(ctx); err != nil {
			return nil, err
		}
	}
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	default:
	}
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, errs.New(errs.Busy, "", "wait until another shadow copy is made: %w", context.Cause(ctx))
	}
	s := &shadow{snap: &Snapshot{Kind: VSS, Volume: v, Name: n}, taken: make(chan error, 1), asks: make(chan func(VSSBackup)), gone: make(chan struct{})}
	s.ctx, s.drop = context.WithCancelCause(context.WithoutCancel(ctx))
	p.mu.Lock()
	p.have[key] = s
	p.mu.Unlock()
	p.thread(func() {
		s.serve(p.service, func() { <-p.turn })
		p.mu.Lock()
		delete(p.have, key)
		p.mu.Unlock()
		s.drop(errDropped)
		close(s.gone)
	})
	return s, nil
}

// thread runs fn on a thread of the system of its own, which ends with it: what COM has put into it
// goes, too.
func (p *vss) thread(fn func()) {
	p.threads.Go(func() {
		runtime.LockOSThread()
		fn()
	})
}

func (p *vss) find(key shadowKey) *shadow {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.have[key]
}

// ended ends a shadow copy, and waits until it is gone.
func (s *shadow) ended(ctx context.Context) error {
	s.drop(errDropped)
	select {
	case <-s.gone:
		return s.left
	case <-ctx.Done():
		return fmt.Errorf("wait until Windows has ended a shadow copy: %w", context.Cause(ctx))
	}
}

// Open answers the device, whose topmost directory is that of the volume. From now on a note tells the
// next process which shadow copy it was: not before, since nothing is written while one is made.
func (p *vss) Open(_ context.Context, snap *Snapshot) (string, func(), error) {
	s := p.find(shadowKey{snap.Volume.Source, snap.Name})
	if s == nil {
		return "", nil, errs.New(errs.NotFound, "", "open shadow copy %s: it is removed", snap.Name)
	}
	err := p.service.Readable(s.device)
	if err == nil {
		err = p.notes.write(snap.Name, note{s.id, snap.Volume.Source})
	}
	if err != nil {
		return "", nil, fmt.Errorf("open shadow copy %s: %w", s.id, err)
	}
	return s.device, func() {}, nil
}

// Check looks whether Windows still has a shadow copy: it removes the oldest where the room is used up
// that volumes have for what is overwritten.
func (p *vss) Check(ctx context.Context, snap *Snapshot) error {
	s := p.find(shadowKey{snap.Volume.Source, snap.Name})
	why := "this process does not have it any more"
	if s != nil {
		err := s.ask(ctx, func(b VSSBackup) error { _, err := b.GetSnapshotProperties(s.id); return err })
		switch {
		case err == nil:
			if err = p.service.Readable(s.device); err == nil {
				return nil
			}
			why = "it cannot be read any more: " + err.Error()
		case errors.Is(err, VSSNotFound):
			why = "Windows has removed it"
		default:
			return vssFailed("GetSnapshotProperties", err)
		}
	}
	return &Ended{
		Why:  why + "; mostly the room for what is overwritten meanwhile is used up",
		Hint: "see volsnap in the system's event log; more room: vssadmin resize shadowstorage, or run the job when less is written",
	}
}

// Remove tells the writers that the backup is over, and removes the shadow copy.
func (p *vss) Remove(ctx context.Context, v Volume, n Name) error {
	if s := p.find(shadowKey{v.Source, n}); s != nil {
		if err := s.ended(ctx); err != nil {
			return err
		}
		return p.notes.drop(n)
	}
	left, ok := p.notes.read(n)
	if ok && left.volume == v.Source {
		if err := p.query(ctx, func(b VSSBackup) error { return remove(b, left.id) }); err != nil {
			return err
		}
		return p.notes.drop(n)
	}
	return nil
}

// List answers those of this process, and of those noted by earlier ones what Windows still has.
func (p *vss) List(ctx context.Context, v Volume, owner string) ([]Name, error) {
	var list []Name
	p.mu.Lock()
	for k := range p.have {
		if k.volume == v.Source && k.name.Owner == owner {
			list = append(list, k.name)
		}
	}
	p.mu.Unlock()
	noted, err := p.notes.list(owner)
	if err != nil {
		return list, err
	}
	left := map[Name]VSSID{}
	for n, note := range noted {
		if note.volume == v.Source && !slices.Contains(list, n) {
			left[n] = note.id
		}
	}
	if len(left) == 0 {
		return list, nil
	}
	err = p.query(ctx, func(b VSSBackup) error {
		for n, id := range left {
			_, err := b.GetSnapshotProperties(id)
			switch {
			case errors.Is(err, VSSNotFound):
				delete(left, n) // released with the process that made it
				err = p.notes.drop(n)
			case err == nil:
				continue
			default:
				err = vssFailed("GetSnapshotProperties", err)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return list, err
	}
	for n := range left {
		list = append(list, n)
	}
	return list, nil
}

// query does something with shadow copies that are there, whoever made them.
func (p *vss) query(ctx context.Context, do func(VSSBackup) error) error {
	done := make(chan error, 1) // nobody may listen any more
	p.thread(func() { done <- p.all(do) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *vss) all(do func(VSSBackup) error) error {
	b, err := p.service.Open()
	if err != nil {
		return vssFailed("CreateVssBackupComponents", err)
	}
	defer b.Release()
	if err := b.InitializeForBackup(); err != nil {
		return vssFailed("InitializeForBackup", err)
	}
	if err := b.SetContext(VSSCtxAll); err != nil {
		return vssFailed("SetContext", err)
	}
	return do(b)
}
