// Package content reads files of restore points for a server, which never opens what it passes on: each
// reading has a process of its own (see opener), which gets keys and sealed records over its standard
// input and answers content over its standard output.
//
// It knows no format of a repository, and nothing of who may read: its caller has asked. What the process
// says is not believed further than a reader of content has to: its messages are bounded, and one that
// says what was not asked for ends it.
//
// A Content belongs to one goroutine at a time. An Opener is for any number of them.
package content

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const (
	// PieceMost is how much content one message holds.
	PieceMost = 512 << 10
	// tellMost bounds a message of the process: a piece, and what goes around it.
	tellMost = PieceMost + 64<<10
	// wantMost is how many records a process may ask for at once, and wantsMost how many such questions
	// are answered at once: a record is a megabyte, mostly.
	wantMost  = 64
	wantsMost = 4
	// atOnce is how many readings there may be: each has a process with up to memoryMost.
	atOnce     = 8
	memoryMost = "192MiB"
	// Idle is how long a reading lives that nobody goes on with. A browser that comes back goes on where it
	// was, with another one.
	Idle = 2 * time.Minute
	// lastWords bounds what is kept of what a process says before it dies.
	lastWords = 4 << 10
)

// Source is where sealed records come from, for who reads.
type Source interface {
	// Records calls each with what it has of some records, in any order; without ids with the object of
	// the point. One call at a time.
	Records(ctx context.Context, ids [][]byte, each func(*keepwardv1.ReadRecordsResponse) error) error
}

// Opener starts processes that open content.
type Opener struct {
	// Arguments are those of this very program for such a process.
	Arguments []string
	Log       *slog.Logger
	// Idle is how long a reading lives that nobody goes on with; 0: as the constant.
	Idle time.Duration

	once  sync.Once
	slots chan struct{} // one for each that may be under way
	told  sync.Once     // what could not be taken from a process
}

// Content is one reading.
type Content struct {
	info *keepwardv1.ContentInfo

	ctx     context.Context
	cancel  context.CancelCauseFunc
	in      io.WriteCloser
	writing sync.Mutex    // of in
	due     chan struct{} // a question that is not answered
	answers chan answer
	work    sync.WaitGroup
	idle    *time.Timer
	every   time.Duration
	cmd     *exec.Cmd
	said    *tail
	free    func()
	once    sync.Once
	reaped  sync.Once
}

// answer is what came for an order or a read.
type answer struct {
	tell *keepwardv1.ContentTell
	err  error
}

var errIdle = errs.New(errs.Unavailable, "content.idle", "read content: nobody went on with it for too long")

// Open starts a process and has it open what the order says. The reading ends with ctx, or by Close.
func (o *Opener) Open(ctx context.Context, order *keepwardv1.ContentOrder, from Source) (*Content, error) {
	o.once.Do(func() { o.slots = make(chan struct{}, atOnce) })
	select {
	case o.slots <- struct{}{}:
	default:
		return nil, errs.New(errs.Unavailable, "content.many", "read %q: %d downloads are under way already", order.GetPath(), atOnce).WithHint("try again when one has ended")
	}
	c, err := o.start(ctx)
	if err != nil {
		<-o.slots
		return nil, err
	}
	c.free = func() { <-o.slots }
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		c.idle.Stop()
		c.cancel(nil)
		c.free()
		return nil, errs.New(errs.Internal, "content.start", "start a process that opens content: %w", err)
	}
	context.AfterFunc(c.ctx, func() { _ = c.cmd.Process.Kill() })
	c.work.Go(func() { c.listen(out, from) })
	tell, err := c.ask(&keepwardv1.ContentAsk{Order: order})
	if err == nil && tell.GetInfo() == nil {
		err = errOutOfTurn
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	c.info = tell.GetInfo()
	if list := c.info.GetUnconfined(); len(list) > 0 {
		o.told.Do(func() {
			o.Log.Warn("processes that open content have more rights than they need", "missing", strings.Join(list, "; "))
		})
	}
	return c, nil
}

func (o *Opener) start(ctx context.Context) (*Content, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, errs.New(errs.Internal, "content.start", "start a process that opens content: %w", err)
	}
	c := &Content{due: make(chan struct{}, 1), answers: make(chan answer, 1), said: &tail{}, every: o.Idle} // who asks takes one answer before he asks again
	if c.every == 0 {
		c.every = Idle
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	c.idle = time.AfterFunc(c.every, func() { c.cancel(errIdle) })
	c.cmd = exec.Command(self, o.Arguments...)
	if runtime.GOOS == "linux" {
		c.cmd.Path = "/proc/self/exe" // this very program, also where another one has taken its place
	}
	// Nothing of this process's settings: they may be secrets.
	c.cmd.Env = []string{"GOMEMLIMIT=" + memoryMost, "GOTRACEBACK=single"}
	if runtime.GOOS == "windows" {
		c.cmd.Env = append(c.cmd.Env, "SYSTEMROOT="+os.Getenv("SYSTEMROOT")) // its random numbers need it
	}
	c.cmd.Dir, c.cmd.Stderr = os.TempDir(), c.said
	if runtime.GOOS == "linux" {
		c.cmd.Dir = "/"
	}
	return c, nil
}

// Info is what is read.
func (c *Content) Info() *keepwardv1.ContentInfo { return c.info }

var errOutOfTurn = errs.New(errs.Internal, "content.process", "read content: the process that opens it says what was not asked for")

// Read answers the next piece from an offset on, of up to n bytes; a shorter one only at the end. An archive is
// read on and on.
func (c *Content) Read(offset int64, n int) ([]byte, error) {
	n = min(n, PieceMost)
	tell, err := c.ask(&keepwardv1.ContentAsk{Read: &keepwardv1.ContentRead{Offset: offset, Length: int32(n)}})
	if err != nil {
		return nil, err
	}
	if tell.GetData() == nil || len(tell.GetData().GetData()) > n {
		c.cancel(errOutOfTurn)
		return nil, errOutOfTurn
	}
	return tell.GetData().GetData(), nil
}

// ask sends a question and waits for its answer.
func (c *Content) ask(q *keepwardv1.ContentAsk) (*keepwardv1.ContentTell, error) {
	if !c.idle.Reset(c.every) && c.ctx.Err() != nil {
		return nil, context.Cause(c.ctx)
	}
	select {
	case c.due <- struct{}{}:
	default: // the one before was not answered: the reading is over
	}
	if err := c.send(q); err != nil {
		return nil, c.ended(err)
	}
	select {
	case a, more := <-c.answers:
		if !more {
			return nil, c.ended(io.ErrUnexpectedEOF)
		}
		if a.err != nil {
			return nil, c.ended(a.err)
		}
		if f := a.tell.GetFailure(); f != nil {
			return nil, wire.FromFailure(f)
		}
		return a.tell, nil
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
}

// ended says why the process does not answer.
func (c *Content) ended(err error) error {
	if c.ctx.Err() != nil {
		return context.Cause(c.ctx)
	}
	return errs.New(errs.Internal, "content.process", "read content: the process that opens it has ended: %w%s", err, c.said.text())
}

func (c *Content) send(m *keepwardv1.ContentAsk) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	_, err := protodelim.MarshalTo(c.in, m)
	return err
}

// listen takes what the process says, until it ends.
func (c *Content) listen(out io.Reader, from Source) {
	defer close(c.answers)
	r := bufio.NewReaderSize(out, 64<<10)
	wants := make(chan struct{}, wantsMost)
	for {
		tell := &keepwardv1.ContentTell{}
		err := (protodelim.UnmarshalOptions{MaxSize: tellMost}).UnmarshalFrom(r, tell)
		if err == nil && tell.GetWant() != nil {
			want := tell.GetWant()
			if len(want.GetIds()) > wantMost {
				c.cancel(errOutOfTurn)
				return
			}
			select {
			case wants <- struct{}{}:
			case <-c.ctx.Done():
				return
			}
			c.work.Go(func() {
				defer func() { <-wants }()
				c.fetch(want, from)
			})
			continue
		}
		if err != nil {
			_ = c.cmd.Process.Kill() // it says nothing any more, or nothing that makes sense
			c.reap()                 // all that it had to say is in said then
			select {
			case c.answers <- answer{nil, err}: // who asks next learns of it
			case <-c.ctx.Done():
			}
			return
		}
		select {
		case <-c.due:
			c.answers <- answer{tell, nil}
		default:
			c.cancel(errOutOfTurn)
			return
		}
	}
}

// fetch answers a want. A process that does not listen any more needs no answer.
func (c *Content) fetch(want *keepwardv1.ContentWant, from Source) {
	err := from.Records(c.ctx, want.GetIds(), func(m *keepwardv1.ReadRecordsResponse) error {
		return c.send(&keepwardv1.ContentAsk{Records: &keepwardv1.ContentRecords{Call: want.GetCall(), Record: m}})
	})
	_ = c.send(&keepwardv1.ContentAsk{Records: &keepwardv1.ContentRecords{Call: want.GetCall(), End: true, Failure: wire.ToFailure(err, "server")}})
}

// Close ends the process and waits for it. It returns no error: what was read was whole or had one.
func (c *Content) Close() error {
	c.once.Do(func() {
		c.idle.Stop()
		c.cancel(errs.New(errs.Cancelled, "", "read content: it was closed"))
		_ = c.in.Close()
		c.work.Wait()
		c.reap()
		c.free()
	})
	return nil
}

// reap waits for the end of the process, which was killed or has ended.
func (c *Content) reap() { c.reaped.Do(func() { _ = c.cmd.Wait() }) }

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if n := len(t.end) - lastWords; n > 0 {
		t.end = append(t.end[:0], t.end[n:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := bytes.TrimSpace(t.end)
	if len(text) == 0 {
		return ""
	}
	first, _, _ := bytes.Cut(text, []byte("\n"))
	return fmt.Sprintf(" (it said: %s)", strings.ToValidUTF8(string(first), "?"))
}

// IsGone tells whether a reading ended because nobody goes on with it.
func IsGone(err error) bool { return errors.Is(err, errIdle) || errs.KindOf(err) == errs.Cancelled }
