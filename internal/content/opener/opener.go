// Package opener is the process that opens content of restore points for a server: see package content,
// which starts it. It gets one order with keys and answers what it is asked for, until its standard input ends.
//
// It writes no file and opens none, nor any connection: before it reads its order it gives up the right to.
package opener

import (
	"bufio"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/content"
	"keepward/internal/errs"
	"keepward/internal/mount"
	"keepward/internal/repo/fileindex"
	"keepward/internal/wire"
)

const (
	// askMost bounds a message of the server: records, one by one.
	askMost = 64 << 20
	// memory bounds what is kept of contents and of indexes, each. Chunks of 4 MiB at most are fetched
	// ahead.
	memory = 32 << 20
)

// Main is the process.
func Main(ctx context.Context, in io.Reader, out io.Writer) error {
	return serve(ctx, in, out, confine())
}

// serve is Main in a process that may do everything.
func serve(ctx context.Context, in io.Reader, out io.Writer, unconfined []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := bufio.NewReaderSize(in, 64<<10)
	ask, err := next(r)
	if err != nil {
		return err
	}
	s := &server{out: out, calls: map[uint64]*call{}, reads: make(chan *keepwardv1.ContentRead)}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel() // nobody asks any more
		return s.listen(ctx, r)
	})
	g.Go(func() error { return s.answer(ctx, ask.GetOrder(), unconfined) })
	return g.Wait()
}

func next(r *bufio.Reader) (*keepwardv1.ContentAsk, error) {
	ask := &keepwardv1.ContentAsk{}
	err := (protodelim.UnmarshalOptions{MaxSize: askMost}).UnmarshalFrom(r, ask)
	return ask, err
}

type server struct {
	out     io.Writer
	writing sync.Mutex
	reads   chan *keepwardv1.ContentRead // without room: one at a time

	mu    sync.Mutex
	last  uint64
	calls map[uint64]*call // wants without an end
}

// call is a want. Whoever wants waits for done.
type call struct {
	mu   sync.Mutex
	each func(*keepwardv1.ReadRecordsResponse) // nil: nobody waits any more
	done chan error                            // has room for the one end
}

func (c *call) take(m *keepwardv1.ReadRecordsResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.each != nil {
		c.each(m)
	}
}

func (s *server) tell(m *keepwardv1.ContentTell) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := protodelim.MarshalTo(s.out, m)
	return err
}

// listen takes what the server says, to the end.
func (s *server) listen(ctx context.Context, r *bufio.Reader) error {
	for {
		ask, err := next(r)
		if err != nil {
			return nil //nolint:nilerr // it has what it wanted
		}
		if ask.GetRead() != nil {
			select {
			case s.reads <- ask.GetRead():
			case <-ctx.Done():
				return nil
			}
		}
		if m := ask.GetRecords(); m != nil {
			s.records(m)
		}
	}
}

func (s *server) records(m *keepwardv1.ContentRecords) {
	s.mu.Lock()
	c := s.calls[m.GetCall()]
	if m.GetEnd() {
		delete(s.calls, m.GetCall())
	}
	s.mu.Unlock()
	switch {
	case c == nil: // who wanted it has gone
	case m.GetEnd():
		c.done <- wire.FromFailure(m.GetFailure())
	default:
		c.take(m.GetRecord())
	}
}

// want asks for records and waits for all of them.
func (s *server) want(ctx context.Context, ids [][]byte, each func(*keepwardv1.ReadRecordsResponse)) error {
	c := &call{each: each, done: make(chan error, 1)}
	s.mu.Lock()
	s.last++
	id := s.last
	s.calls[id] = c
	s.mu.Unlock()
	if err := s.tell(&keepwardv1.ContentTell{Want: &keepwardv1.ContentWant{Call: id, Ids: ids}}); err != nil {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.each = nil
		return ctx.Err()
	}
}

// reading is what is read, of one file or as an archive.
type reading interface {
	info() *keepwardv1.ContentInfo
	// read fills buf from offset on, less of it only at the end.
	read(ctx context.Context, buf []byte, offset int64) (int, error)
	close()
}

// answer opens what is ordered and answers one read after the other.
func (s *server) answer(ctx context.Context, o *keepwardv1.ContentOrder, unconfined []string) error {
	refuse := func(err error) error { return s.tell(&keepwardv1.ContentTell{Failure: wire.ToFailure(err, "reader")}) }
	if o == nil {
		return refuse(errs.New(errs.Invalid, "content.order", "open content: there is no order"))
	}
	it, shut, err := s.open(ctx, o)
	if err != nil {
		return refuse(err)
	}
	defer shut()
	info := it.info()
	info.Unconfined = unconfined
	if err := s.tell(&keepwardv1.ContentTell{Info: info}); err != nil {
		return err
	}
	buf := make([]byte, content.PieceMost)
	for {
		var q *keepwardv1.ContentRead
		select {
		case q = <-s.reads:
		case <-ctx.Done():
			return nil
		}
		n, err := it.read(ctx, buf[:min(max(q.GetLength(), 0), content.PieceMost)], q.GetOffset())
		if err != nil {
			err = refuse(err)
		} else {
			err = s.tell(&keepwardv1.ContentTell{Data: &keepwardv1.ContentData{Data: buf[:n]}})
		}
		if err != nil {
			return err
		}
	}
}

// open opens a file, or an archive of all below a path.
func (s *server) open(ctx context.Context, o *keepwardv1.ContentOrder) (it reading, shut func(), err error) {
	keys, err := wire.KeysFromProto(o.GetKeys())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := mount.NewReader(ctx, mount.Options{Store: &store{s, keys}, Memory: memory}, mount.Point{ID: o.GetPoint(), Repository: o.GetRepository()})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	if o.GetFormat() == "" {
		it, err = openFile(ctx, r, o.GetPath())
	} else {
		it, err = openArchive(ctx, r, o)
	}
	if err != nil {
		cancel()
		r.Close()
		return nil, nil, err
	}
	return it, func() {
		cancel()
		it.close()
		r.Close()
	}, nil
}

// oneFile is the content of a file.
type oneFile struct {
	e *fileindex.Entry
	c *mount.Content
}

func openFile(ctx context.Context, r *mount.Reader, path []byte) (reading, error) {
	e, lost, err := r.Lookup(ctx, path)
	if err != nil {
		return nil, err
	}
	if lost {
		return nil, errLost(path)
	}
	c, err := r.Open(e)
	if err != nil {
		return nil, err
	}
	return &oneFile{e, c}, nil
}

func errLost(path []byte) error {
	return errs.New(errs.Invalid, "content.incomplete", "read %s: it was seen and could not be read when it was backed up", strconv.Quote(string(path)))
}

func (f *oneFile) info() *keepwardv1.ContentInfo {
	return &keepwardv1.ContentInfo{Type: f.e.Type.String(), Size: f.e.Size, Mtime: timestamppb.New(timeOf(f.e.MTime))}
}

func (f *oneFile) read(ctx context.Context, buf []byte, offset int64) (int, error) {
	return f.c.Read(ctx, buf, offset)
}

func (f *oneFile) close() { f.c.Close() }

func timeOf(t fileindex.Time) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }
