package pipeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"keepward/internal/errs"
	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

// Stream is a file of the point whose bytes somebody makes while they are read, so that neither how
// many there are is known nor can they be read twice. It stands in the folder
// Options.StreamsAt.
type Stream struct {
	// Name is a name without a slash, and another one for each.
	Name string
	// Open has the bytes begin. It is called once, and streams are read one after the other.
	Open func(ctx context.Context) (Output, error)
	// Optional: where it fails the point is without this file; else there is no point.
	Optional bool
}

// Output is what is read of a Stream.
type Output interface {
	io.Reader
	// End answers why what was read is not whole; nil: it is. It may be called before all was read,
	// and ends what makes the bytes. Nothing of that is left when it returns.
	End() error
}

// streams are those of a run that are still to come.
type streams struct {
	r      *run
	left   []Stream
	at     []byte // the name of their folder, and its key
	told   bool   // that something of that name was left out
	active bool   // there are some: what stands at their folder's place is left out
}

func (r *run) streams() *streams {
	s := &streams{r: r, left: slices.Clone(r.opts.Streams), at: []byte(r.opts.StreamsAt)}
	slices.SortFunc(s.left, func(a, b Stream) int { return strings.Compare(a.Name, b.Name) })
	s.active = len(s.left) > 0
	return s
}

// optionsWith tells a selection with streams from the same without.
func optionsWith(options []byte, list []Stream) []byte {
	if len(list) == 0 {
		return options
	}
	h := blake3.New()
	_, _ = h.Write(options) // it never fails
	for _, s := range list {
		_, _ = h.Write(append([]byte(s.Name), 0))
	}
	return h.Sum(nil)
}

// before takes the streams where their folder comes before an item of the walk. taken: there is
// nothing more to do about the item. A file system has the folder only if somebody made one of that
// name: it is left out, for a point has one file under a name.
func (s *sequencer) before(ctx context.Context, st *streams, it *source.Item) (taken bool, err error) {
	if !st.active {
		return false, nil
	}
	if it.Kept != nil {
		return true, s.keepAround(ctx, st, *it.Kept)
	}
	top, _, _ := bytes.Cut(it.Path, []byte{'/'})
	order := bytes.Compare(top, st.at)
	if order > 0 {
		return false, s.streams(ctx, st)
	}
	if order == 0 && !st.told {
		st.told = true
		st.r.reports.event(Event{
			Level: source.Warning, Code: "command-source.name", Path: bytes.Clone(st.at),
			Text: "it is left out: in restore points of jobs with commands this is the folder of what these print",
		})
	}
	return order == 0, nil
}

// keepAround keeps a range of the parent but for the folder, whose place the streams take.
func (s *sequencer) keepAround(ctx context.Context, st *streams, r fileindex.Range) error {
	for _, part := range without(r, st.at) {
		if bytes.Compare(part.From, st.at) > 0 {
			if err := s.streams(ctx, st); err != nil {
				return err
			}
		}
		if err := s.keep(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// without is what is left of a range without a key and all that is below it.
func without(r fileindex.Range, key []byte) (left []fileindex.Range) {
	behind := fileindex.Behind(key)
	if bytes.Compare(r.From, key) < 0 {
		part := fileindex.Range{From: r.From, To: key}
		if r.To != nil && bytes.Compare(r.To, key) < 0 {
			part.To = r.To
		}
		left = append(left, part)
	}
	if r.To == nil || bytes.Compare(r.To, behind) > 0 {
		part := fileindex.Range{From: behind, To: r.To}
		if bytes.Compare(r.From, behind) > 0 {
			part.From = r.From
		}
		left = append(left, part)
	}
	return left
}

// streams takes all streams. What comes before them in the tree goes to the workers first, so that it
// does not wait for them: they may last for hours. One worker reads them one after the other.
func (s *sequencer) streams(ctx context.Context, st *streams) error {
	list := st.left
	st.left = nil
	if len(list) == 0 {
		return nil
	}
	if s.early.wished() {
		s.early.leaveOut()
		return nil
	}
	if err := s.closeUnit(); err != nil {
		return err
	}
	folder := fileindex.Entry{Type: fileindex.Dir, Mode: 0o700, MTime: timeOf(st.r.opts.Clock())}
	if _, err := s.made(ctx, st.at, &folder); err != nil {
		return err
	}
	u := &unit{large: true, streams: true, need: maxBuffer}
	for i := range list {
		path := append(append(bytes.Clone(st.at), '/'), list[i].Name...)
		file := fileindex.Entry{Type: fileindex.File, Mode: 0o600, Links: 1}
		e, err := s.made(ctx, path, &file)
		if err != nil {
			u.complete()
			return err
		}
		s.group.pending.Add(1)
		u.items = append(u.items, work{g: s.group, seq: s.group.seq, e: e, stream: &list[i]})
		if s.group.full() {
			// The builder may wait for it only when the unit is on its way, but there is room for it
			// in the window: the groups before need nothing of it.
			if err := s.closeGroup(ctx); err != nil {
				u.complete()
				return err
			}
		}
	}
	return s.submit(u)
}

// made appends an entry that no file system has. It passes the base's.
func (s *sequencer) made(ctx context.Context, path []byte, like *fileindex.Entry) (*fileindex.Entry, error) {
	key := fileindex.PathKey(path)
	if _, err := s.match(ctx, key); err != nil {
		return nil, err
	}
	if _, err := s.read(ctx, key); err != nil { // what an attempt before has of it is made anew
		return nil, err
	}
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	e := s.group.add(path)
	p := e.Path
	*e = *like
	e.Path = p
	e.User, e.Group = s.owners.user(0), s.owners.group(0)
	return e, nil
}

// streamUnit reads streams.
func (w *worker) streamUnit(ctx context.Context, u *unit) {
	defer u.complete()
	hold := w.pool.hold(u.need)
	for i := range u.items {
		if hold == nil {
			var err error
			if hold, err = w.pool.block(maxBuffer, w.seal); err != nil {
				return // the whole backup has failed
			}
		}
		ok := w.stream(ctx, &u.items[i], hold)
		if hold = nil; !ok {
			return
		}
	}
	u.of.finished(u)
}

// stream reads one stream, with a first buffer that it gives back. It answers false when the whole
// backup has failed.
func (w *worker) stream(ctx context.Context, it *work, first *hold) bool {
	if w.early.wished() {
		w.pool.unhold(first)
		w.leaveOut(it)
		return true
	}
	reading, stop := context.WithCancel(w.early.reading)
	defer stop()
	defer context.AfterFunc(w.pool.life, stop)()
	out, err := it.stream.Open(reading)
	if err != nil {
		w.pool.unhold(first)
		return w.streamFailed(ctx, it, err)
	}
	r := &largeReader{w: w, it: it, from: out, size: math.MaxInt64, hold: first, extents: w.newExtents()}
	n, err := r.read(reading, 0, false)
	end := out.End()
	w.pool.unhold(r.hold)
	var fatal errStore
	switch {
	case errors.As(err, &fatal):
		w.pool.fail(err)
		return false
	case err == nil, end != nil && reading.Err() == nil:
		err = end // which says why there was no more to read
	}
	if err == nil {
		err = r.extents.finish(ctx, it.e)
	}
	if err != nil {
		return w.streamFailed(ctx, it, err)
	}
	it.e.Size, it.e.MTime = n, timeOf(w.clock())
	w.count.readFiles.Add(1)
	return true
}

// streamFailed ends a stream that is not whole: nothing of it is in the point.
func (w *worker) streamFailed(ctx context.Context, it *work, err error) bool {
	it.e.Extents, it.e.Map = nil, fileindex.Tree{}
	var fatal errStore
	switch {
	case w.early.reading.Err() != nil && ctx.Err() == nil:
		w.leaveOut(it)
		return true
	case errors.As(err, &fatal), ctx.Err() != nil, !it.stream.Optional:
		if ctx.Err() != nil && errs.CodeOf(context.Cause(ctx)) != "" {
			err = context.Cause(ctx)
		}
		w.pool.fail(err)
		return false
	}
	w.reports.event(Event{Level: source.Error, Code: errs.CodeOf(err), Text: err.Error() + "; the file is not in this restore point", Path: it.e.Path})
	it.e.Type = 0
	return true
}

// readStream fills p, or reads to the end. Meanwhile it seals what others wait for.
func (w *worker) readStream(from io.Reader, p []byte) (int, error) {
	w.pool.hurry(w.seal)
	defer w.seat.during(atSource)()
	n, err := io.ReadFull(from, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

func timeOf(t time.Time) fileindex.Time {
	return fileindex.Time{Sec: t.Unix(), Nsec: uint32(t.Nanosecond())}
}
