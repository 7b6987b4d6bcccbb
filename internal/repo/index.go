package repo

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// openSegment is a segment in use: mapped from its object, or rebuilt in memory.
type openSegment struct {
	name    string
	seg     *segment.Segment
	reader  storage.Reader // nil if in memory
	rebuilt bool
	damaged atomic.Pointer[[]seal.ID] // what it marks, once that was asked; it never changes
}

func (s *openSegment) close() error {
	if s.reader == nil {
		return nil
	}
	return s.reader.Close()
}

// Refresh opens the index segments that others have published since, and lets go of those that
// were merged away.
func (r *Repository) Refresh(ctx context.Context) error {
	// A merge puts the joined segment before it removes its parts. A listing takes time: it may
	// miss a part that is gone by then, and the joined one in a folder it had passed before. So
	// what went away between two listings calls for another one, and so does the first.
	before := r.knownNames()
	for again := len(before) == 0; ; again = false {
		known := r.knownNames()
		there, err := r.openListed(ctx)
		if err != nil {
			return err
		}
		isGone := func(name string) bool { return !there[name] }
		if !again && !slices.ContainsFunc(before, isGone) {
			r.letGo(slices.DeleteFunc(known, func(name string) bool { return there[name] }))
			return nil
		}
		before = slices.Collect(maps.Keys(there))
	}
}

func (r *Repository) knownNames() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.known))
}

// openListed opens the segments of one listing and answers their names.
func (r *Repository) openListed(ctx context.Context) (map[string]bool, error) {
	infos, err := r.list(ctx, indexDir)
	if err != nil {
		return nil, err
	}
	there := make(map[string]bool, len(infos))
	damaged := map[string]error{}
	for _, info := range infos {
		there[info.Name] = true
		err := r.openObject(ctx, info.Name)
		switch {
		case errs.KindOf(err) == errs.NotFound:
			delete(there, info.Name) // merged away since it was listed
		case errs.KindOf(err) == errs.Corrupt:
			damaged[info.Name] = err
		case err != nil:
			return nil, err
		}
	}
	// Only now, since what is rebuilt may be what no other segment tells of.
	for name, cause := range damaged {
		err := r.useRebuilt(ctx, name, cause)
		if errs.KindOf(err) == errs.NotFound {
			delete(there, name)
		} else if err != nil {
			return nil, err
		}
	}
	return there, nil
}

// openSegment opens a segment that was published: if it was merged away at once, what it was
// merged into; if it is damaged, it is rebuilt in memory.
func (r *Repository) openSegment(ctx context.Context, name string) error {
	err := r.openObject(ctx, name)
	switch errs.KindOf(err) {
	case errs.NotFound:
		return r.Refresh(ctx)
	case errs.Corrupt:
		return r.useRebuilt(ctx, name, err)
	}
	return err
}

func (r *Repository) useRebuilt(ctx context.Context, name string, cause error) error {
	s, err := r.rebuildInMemory(ctx, name, cause)
	if err != nil {
		return err
	}
	return r.use(s)
}

// openObject opens a segment unless it is open. One that is gone is errs.NotFound, a damaged
// one errs.Corrupt.
func (r *Repository) openObject(ctx context.Context, name string) error {
	r.mu.RLock()
	known := r.known[name]
	r.mu.RUnlock()
	if known {
		return nil
	}
	if a, number, err := parseNumbered(name); err != nil || segmentName(a, number) != name {
		r.addCondition("segment.unreadable", name, "it is no name of an index segment; it is not used")
		return nil
	}
	s, err := loadSegment(ctx, r.b, name, r.cfg.ID)
	if err != nil {
		return err
	}
	return r.use(s)
}

// use puts a segment into use.
func (r *Repository) use(s *openSegment) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[s.name] || r.closed { // another goroutine was faster
		return s.close()
	}
	r.known[s.name] = true
	r.segments = append(r.segments, s)
	return nil
}

// letGo takes segments whose objects are gone out of use. They stay mapped until Close: others
// may be reading them.
func (r *Repository) letGo(names []string) {
	if len(names) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range names {
		delete(r.known, name)
	}
	r.segments = slices.DeleteFunc(slices.Clone(r.segments), func(s *openSegment) bool {
		// What a check added in memory alone was never an object.
		gone := !r.known[s.name] && slices.Contains(names, s.name)
		if gone {
			r.retired = append(r.retired, s)
		}
		return gone
	})
}

func loadSegment(ctx context.Context, b storage.Backend, name string, repositoryID [16]byte) (*openSegment, error) {
	rd, err := b.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	s, err := parseSegment(rd, name, repositoryID)
	if err != nil {
		return nil, joinErr(err, rd.Close())
	}
	return s, nil
}

func parseSegment(rd storage.Reader, name string, repositoryID [16]byte) (*openSegment, error) {
	content, err := contentOf(rd)
	if err != nil {
		return nil, err
	}
	seg, err := segment.Parse(content)
	if err != nil {
		return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "open %s: %w", name, err).WithHint("%s", errs.HintOf(err))
	}
	if seg.RepositoryID != repositoryID || segmentName(seg.Attempt, seg.Number) != name {
		return nil, errs.New(errs.Corrupt, "segment.place", "open %s: it is another segment, or another repository's", name)
	}
	return &openSegment{name: name, seg: seg, reader: rd}, nil
}

func contentOf(rd storage.Reader) ([]byte, error) {
	if m, ok := rd.(storage.Mapper); ok {
		return m.Map()
	}
	content := make([]byte, rd.Size())
	if n, err := rd.ReadAt(content, 0); n < len(content) {
		return nil, err
	}
	return content, nil
}

// rebuildInMemory replaces a damaged segment by what the packs of its attempt say. What only
// the segment knew, proofs and marks of damage, is lost: they are found again when needed.
func (r *Repository) rebuildInMemory(ctx context.Context, name string, cause error) (*openSegment, error) {
	attempt, number, err := parseNumbered(name)
	if err != nil {
		return nil, err
	}
	header, packs, rows, err := r.scanAttempt(ctx, attempt)
	if err != nil {
		return nil, err
	}
	if header, packs, rows, err = r.scanUnnamed(ctx, name, header, packs, rows); err != nil {
		return nil, err
	}
	header.Number = number
	seg, err := segment.Parse(segment.Encode(header, packs, rows))
	if err != nil {
		return nil, err
	}
	r.addCondition("segment.damaged", name, cause.Error()+"; it was rebuilt in memory from its packs")
	return &openSegment{name: name, seg: seg, rebuilt: true}, nil
}

// Locations answers every place where the chunk lies and is not known to be damaged. Places
// that were seen to hold what they should come first.
func (r *Repository) Locations(ctx context.Context, id seal.ID) []Location {
	all := r.found(ctx, id)
	var bad []place
	for _, l := range all {
		if l.Flags&segment.Damaged != 0 {
			bad = append(bad, l.place())
		}
	}
	return settle(all, bad)
}

// found answers what all segments say of a chunk, one Location for each row.
func (r *Repository) found(ctx context.Context, id seal.ID) []Location {
	var rows [4]segment.Row // most chunks lie in one place
	var may [8]int
	var out []Location
	r.mu.RLock()
	for _, i := range segment.Passing(may[:0], len(r.segments), func(i int) *segment.Segment { return r.segments[i].seg }, id) {
		s := r.segments[i]
		found, err := s.seg.Find(rows[:0], id)
		if err != nil {
			r.mu.RUnlock()
			r.replaceDamaged(ctx, s, err)
			return r.found(ctx, id)
		}
		for _, row := range found {
			out = append(out, locate(s.seg, row))
		}
	}
	r.mu.RUnlock()
	return out
}

// settle drops damaged places, joins what several segments say of one place for the same
// owner, and sorts whole bundles before punched ones, and proved places first.
func settle(all []Location, bad []place) []Location {
	if len(all) <= 1 && len(bad) == 0 {
		return all
	}
	all = slices.DeleteFunc(all, func(l Location) bool { return slices.Contains(bad, l.place()) })
	out := joinRows(all)
	slices.SortStableFunc(out, func(a, b Location) int {
		return cmp.Or(
			int(a.Flags&segment.Punched)-int(b.Flags&segment.Punched),
			int(b.Flags&segment.Proved)-int(a.Flags&segment.Proved),
		)
	})
	return out
}

// joinRows joins what several segments say of one place for the same owner. That members are
// missing there does not depend on the owner. It reuses the list.
func joinRows(all []Location) []Location {
	for i := range all {
		if all[i].Punched() {
			for j := range all {
				if all[i].place() == all[j].place() {
					all[j].Flags |= segment.Punched
				}
			}
		}
	}
	out := all[:0]
	for _, l := range all {
		i := slices.IndexFunc(out, func(o Location) bool { return o.Owner == l.Owner && o.place() == l.place() })
		if i >= 0 {
			out[i].Flags |= l.Flags
			continue
		}
		out = append(out, l)
	}
	return out
}

func locate(s *segment.Segment, row segment.Row) Location {
	p := s.Packs[row.Pack]
	return Location{
		ID: row.ID, Kind: row.Kind, Attempt: p.Attempt, Number: p.Number,
		Offset: row.Offset, Length: row.Length, Owner: p.Owner, Flags: row.Flags,
	}
}

// replaceDamaged puts a rebuilt segment in the place of one that turned out damaged, or takes
// it out of use: after it, look again.
func (r *Repository) replaceDamaged(ctx context.Context, s *openSegment, cause error) {
	fresh, err := r.rebuildInMemory(ctx, s.name, cause)
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.segments, s)
	if i < 0 { // another goroutine has replaced it
		return
	}
	if err != nil {
		// Better without it than with some of it: its chunks count as absent until it is whole.
		r.retired = append(r.retired, s)
		r.conditions = append(r.conditions, Condition{Code: "segment.unreadable", Object: s.name, Text: errors.Join(cause, err).Error()})
		r.segments = slices.Delete(slices.Clone(r.segments), i, i+1)
		return
	}
	// The damaged one stays mapped until Close: others may be reading it.
	segments := slices.Clone(r.segments)
	segments[i] = &openSegment{name: fresh.name, seg: fresh.seg, reader: s.reader, rebuilt: true}
	r.segments = segments
}

// Lookup answers the best place of a chunk.
func (r *Repository) Lookup(ctx context.Context, id seal.ID) (Location, bool) {
	all := r.Locations(ctx, id)
	if len(all) == 0 {
		return Location{}, false
	}
	return all[0], true
}
