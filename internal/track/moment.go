package track

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"keepward/internal/changes"
	"keepward/internal/repo/fileindex"
	"keepward/internal/snapshot"
	"keepward/internal/source"
)

// Request is what a backup is about.
type Request struct {
	// Key names what makes one point on the other, such as a job.
	Key string
	// Include are the paths that are read, without symlinks above them.
	Include []string
	// Mounts is what is mounted and can be seen, Needed that of it which is read.
	Mounts, Needed []snapshot.Volume
	// Kept is how long what the next backup needs is kept for it.
	Kept time.Duration
}

// Moment is one backup's use of the trackers. It belongs to one goroutine.
type Moment struct {
	t       *Trackers
	r       Request
	journal map[string]started
	units   []unit
}

// started is a journal at the moment of a backup, or why there is none.
type started struct {
	j      *journal
	moment changes.Moment
	err    error
}

// Unit is a volume, or a part of one that has a snapshot of its own.
type Unit struct {
	// At is where it lies in the live tree.
	At     string
	Volume snapshot.Volume
	// Kind is how it is read.
	Kind snapshot.Kind
	// Root is where what lies at At is read. Whole: it is the root of its file system, or of its subvolume.
	Root  string
	Whole bool
	// Former answers where the snapshot lies that the parent was read from; nil: none is kept.
	Former func() (string, error)
}

// unit is a Unit with its tracker.
type unit struct {
	Unit
	moment changes.Moment
	why    changes.Reason // there is none
	err    error
	told   bool // Token has one for it
}

// Use is how it was found out what has changed on a volume.
type Use struct {
	At     string
	Volume snapshot.Volume
	// Kind is that of the tracker that told; empty: all was compared, for Reason.
	Kind   changes.Kind
	Reason changes.Reason
	Err    error
	// Count is how many changes it told, and Notes what it counted as changed without knowing.
	Count int64
	Notes []string
	Took  time.Duration
}

// Begin is called before snapshots are taken, and before anything is read.
func (t *Trackers) Begin(ctx context.Context, r Request) *Moment {
	m := &Moment{t: t, r: r, journal: map[string]started{}}
	if t == nil {
		return m
	}
	for _, v := range r.Needed {
		if !journaled[v.Type] {
			continue
		}
		var s started
		if s.j, s.err = t.watch(v, t.cfg.Now().Add(r.Kept)); s.err == nil {
			s.moment, s.err = s.j.Begin(ctx)
		}
		m.journal[v.Mount] = s
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note()
	return m
}

// Read tells how the volumes are read. It is called once, when they can be.
func (m *Moment) Read(ctx context.Context, units []Unit) {
	m.units = nil
	for _, u := range units {
		m.units = append(m.units, m.track(ctx, u))
	}
}

// track finds the tracker of a unit.
func (m *Moment) track(ctx context.Context, u Unit) unit {
	out := unit{Unit: u}
	s, watched := m.journal[u.Volume.Mount]
	switch {
	case m.t == nil:
		out.why = changes.Unsupported
	case u.Kind == snapshot.Btrfs && (!u.Whole || u.Former == nil):
		out.why = changes.NotWhole
	case u.Kind == snapshot.Btrfs:
		if tr := snapshots(u.Former); tr != nil {
			out.moment, out.err = tr.Begin(ctx)
		}
	case u.Volume.Type == "btrfs":
		out.why = changes.NoSnapshot
	case watched:
		out.moment, out.err = s.moment, s.err
	default:
		out.why = changes.Unproved
	}
	if out.moment == nil && out.why == "" {
		out.why = changes.Unsupported
	}
	return out
}

// Parent is what the point that is compared with tells.
type Parent struct {
	// Token is that of its Moment.
	Token []byte
	// Find is as in changes.View.
	Find func(ctx context.Context, inodes []uint64, fn func(inode uint64, path []byte) error) error
	// LinksToo adds all files with several names to a row of changes.
	LinksToo func(source.Changed) source.Changed
	Scratch  string
}

// Changes is what may have changed since a parent.
type Changes struct {
	// Changed is that in the order of the index; nil: everything may have.
	Changed source.Changed
	Uses    []Use
	sets    []*changes.Set
}

// Close gives back what the changes take.
func (c *Changes) Close() {
	if c == nil {
		return
	}
	for _, s := range c.sets {
		s.Close()
	}
}

// Since answers what may have changed between a parent and what is read now.
func (m *Moment) Since(ctx context.Context, p Parent) (*Changes, error) {
	old, why := parseToken(p.Token)
	if why == "" && !slices.EqualFunc(old.Include, m.r.Include, func(a []byte, b string) bool { return string(a) == b }) {
		why = changes.OptionsChanged // a symlink above one leads elsewhere
	}
	out := &Changes{}
	in := doubts{m: m}
	links := false
	rows := &merged{}
	for i := range m.units {
		u := &m.units[i]
		start := time.Now()
		set, err := m.since(ctx, u, old, why, p)
		if err != nil {
			out.Close()
			return nil, err
		}
		use := Use{At: u.At, Volume: u.Volume, Reason: set.Reason, Err: set.Err, Count: set.Count, Notes: set.Notes, Took: time.Since(start)}
		if set.Reason == "" {
			use.Kind = kindOf(u)
			out.sets = append(out.sets, set)
			rows.rows = append(rows.rows, ofSet(set))
			in.known = append(in.known, u.At)
			links = links || set.LinksInDoubt
		} else {
			set.Close()
		}
		out.Uses = append(out.Uses, use)
	}
	if len(rows.rows) == 0 {
		return out, nil
	}
	rows.rows = append(rows.rows, ofList(in.list(old)))
	out.Changed = rows
	if links {
		out.Changed = p.LinksToo(rows)
	}
	return out, nil
}

func kindOf(u *unit) changes.Kind {
	if u.Kind == snapshot.Btrfs {
		return changes.KindBtrfs
	}
	return changes.KindJournal
}

// since asks the tracker of a unit. That it fails is a doubt, no error, but for the end of ctx.
func (m *Moment) since(ctx context.Context, u *unit, old *token, why changes.Reason, p Parent) (*changes.Set, error) {
	if u.moment == nil {
		s := changes.Doubt(u.why)
		s.Err = u.err
		return s, nil
	}
	if why != "" {
		return changes.Doubt(why), nil
	}
	tok, _ := old.of(u.At)
	view := m.view(u)
	view.Find, view.Scratch = p.Find, p.Scratch
	set, err := u.moment.Since(ctx, tok, view)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		set = changes.Doubt(changes.TrackerFailed)
		set.Err = err
	}
	return set, nil
}

func (m *Moment) view(u *unit) changes.View {
	return changes.View{Root: u.Root, Prefix: indexPath(u.At)}
}

// indexPath is a path as the index has it.
func indexPath(path string) []byte { return []byte(strings.Trim(path, "/")) }

// doubts collects what is compared whatever trackers say.
type doubts struct {
	m     *Moment
	known []string // units of which it is known what changed
}

// list answers it in the order of the index: the directories on the way to what is included; what
// is included and lies on a volume without a tracker; such volumes that are mounted within; and
// what was mounted when the parent was made and is not any more.
func (d *doubts) list(old *token) []source.Change {
	whole := map[string]bool{}
	for _, inc := range d.m.r.Include {
		for above := inc; above != "/"; {
			above = above[:strings.LastIndexByte(above, '/')]
			if above == "" {
				above = "/"
			}
			if _, known := whole[above]; !known {
				whole[above] = false
			}
		}
		if !d.told(inc) {
			whole[inc] = true
		}
	}
	here := map[string]bool{}
	for _, v := range d.m.r.Mounts {
		here[v.Mount] = true
		if d.included(v.Mount) && !slices.Contains(d.known, v.Mount) {
			whole[v.Mount] = true
		}
	}
	for _, u := range d.m.units {
		if here[u.At] = true; d.included(u.At) && !slices.Contains(d.known, u.At) {
			whole[u.At] = true
		}
	}
	for _, v := range old.Volumes {
		if at := string(v.At); !here[at] && d.included(at) {
			whole[at] = true
		}
	}
	var out []source.Change
	for path, all := range whole {
		out = append(out, source.Change{Path: indexPath(path), Subtree: all})
	}
	slices.SortFunc(out, func(a, b source.Change) int { return fileindex.ComparePaths(a.Path, b.Path) })
	return slices.CompactFunc(out, func(a, b source.Change) bool { return bytes.Equal(a.Path, b.Path) })
}

// told tells whether a tracker told of what lies at a path: that of the innermost volume there.
func (d *doubts) told(path string) bool {
	best := ""
	for _, u := range d.m.units {
		if len(u.At) > len(best) && within(path, u.At) {
			best = u.At
		}
	}
	for _, v := range d.m.r.Mounts {
		if len(v.Mount) > len(best) && within(path, v.Mount) {
			return false
		}
	}
	return best != "" && slices.Contains(d.known, best)
}

// included tells whether a path is included, or lies in what is.
func (d *doubts) included(path string) bool {
	return slices.ContainsFunc(d.m.r.Include, func(inc string) bool { return within(path, inc) })
}

// within tells whether path is dir or lies below it.
func within(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// Token answers what the point must keep so that a later Moment can be asked about it; nil: it can
// be about nothing.
func (m *Moment) Token(ctx context.Context) ([]byte, error) {
	out := &token{}
	for _, inc := range m.r.Include {
		out.Include = append(out.Include, []byte(inc))
	}
	at := map[string]bool{}
	some := false
	for i := range m.units {
		u := &m.units[i]
		v := volume{At: []byte(u.At)}
		if u.moment != nil {
			var err error
			if v.Token, err = u.moment.Token(ctx, m.view(u)); err != nil {
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				m.t.cfg.Log.Warn("the next backup of a volume compares every file", "volume", u.At, "error", err)
			}
		}
		u.told = v.Token != nil
		some = some || u.told
		at[u.At] = true
		out.Volumes = append(out.Volumes, v)
	}
	if !some {
		return nil, nil
	}
	d := doubts{m: m}
	for _, v := range m.r.Mounts {
		if !at[v.Mount] && d.included(v.Mount) {
			at[v.Mount] = true
			out.Volumes = append(out.Volumes, volume{At: []byte(v.Mount)})
		}
	}
	return out.encode(), nil
}

// Watched says of each volume how the next backup will know what has changed on it. It is called
// after Token.
func (m *Moment) Watched() []Use {
	var out []Use
	for i := range m.units {
		u := &m.units[i]
		use := Use{At: u.At, Volume: u.Volume, Reason: u.why, Err: u.err}
		switch {
		case u.told:
			use.Kind = kindOf(u)
		case u.why == "":
			use.Reason = changes.TrackerFailed
		}
		out = append(out, use)
	}
	return out
}

// Done tells that the point with a token is there: the next backup is made on it, and what only
// those before needed can go. compared: it was found by comparing everything.
func (m *Moment) Done(b []byte, compared bool) {
	tok, why := parseToken(b)
	if why != "" {
		return
	}
	m.t.mu.Lock()
	defer m.t.mu.Unlock()
	m.t.ran(m.r.Key, compared)
	for _, s := range m.journal {
		if s.j == nil || m.t.journals[s.j.volume.Mount] != s.j {
			continue
		}
		s.j.tokens[m.r.Key], _ = tok.of(s.j.volume.Mount)
		var all [][]byte
		for _, b := range s.j.tokens {
			all = append(all, b)
		}
		if err := s.j.Keep(all); err != nil {
			m.t.cfg.Log.Warn("a journal of changes could not be made smaller", "volume", s.j.volume.Mount, "error", err)
		}
	}
}
