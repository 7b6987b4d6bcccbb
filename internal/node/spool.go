package node

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

const (
	// maxEvents bounds one attempt's log: past it events are counted, not kept.
	maxEvents = 100_000
	// batchEvents go out in one report, fewer where they have batchBytes already: the server
	// takes no more than 8 MiB.
	batchEvents = 256
	batchBytes  = 1 << 20
)

// spool is a file of events with a read position: what lies before it was answered. The
// position is not kept on disk; after a restart everything is sent again.
type spool struct {
	file    *os.File
	size    int64
	sent    int64 // bytes answered
	count   int64
	dropped int64
}

// openSpool counts what an earlier process left and cuts off a torn last event.
func openSpool(path string) (*spool, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &spool{file: f}
	_, s.size, s.count, err = s.read(0, -1)
	if err == nil {
		err = f.Truncate(s.size)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("open events: %w", err)
	}
	return s, nil
}

// read answers up to limit events from offset on and the offset behind them; limit -1
// only counts.
func (s *spool) read(offset int64, limit int) (events []*keepwardv1.Event, next, count int64, err error) {
	in := &countingReader{r: bufio.NewReader(io.NewSectionReader(s.file, offset, 1<<62))}
	next = offset
	for limit < 0 || len(events) < limit && in.n < batchBytes {
		e := &keepwardv1.Event{}
		if err := protodelim.UnmarshalFrom(in, e); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || limit < 0 {
				return events, next, count, nil
			}
			return nil, next, count, fmt.Errorf("read events: %w", err)
		}
		count++
		next = offset + in.n
		if limit >= 0 {
			events = append(events, e)
		}
	}
	return events, next, count, nil
}

func (s *spool) append(e *keepwardv1.Event) error {
	if s.count >= maxEvents {
		s.dropped++
		return nil
	}
	return s.write(e)
}

func (s *spool) write(e *keepwardv1.Event) error {
	e.Seq = s.count + 1
	out := &offsetWriter{file: s.file, at: s.size}
	n, err := protodelim.MarshalTo(out, e)
	if err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	s.size += int64(n)
	s.count++
	return nil
}

// seal notes what was left out and makes the events durable.
func (s *spool) seal() error {
	if s.dropped > 0 {
		err := s.write(&keepwardv1.Event{
			Time: timestamppb.Now(), Level: "warning", Code: "events.dropped",
			Text: fmt.Sprintf("%d further events are not kept: the limit is %d", s.dropped, maxEvents),
		})
		if err != nil {
			return err
		}
		s.dropped = 0
	}
	return s.file.Sync()
}

// pending are the next events to send and the position to set once they are answered.
func (s *spool) pending() ([]*keepwardv1.Event, int64, error) {
	if s.sent >= s.size {
		return nil, s.sent, nil
	}
	events, next, _, err := s.read(s.sent, batchEvents)
	return events, next, err
}

func (s *spool) close() { _ = s.file.Close() }

type countingReader struct {
	r *bufio.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *countingReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

type offsetWriter struct {
	file *os.File
	at   int64
}

func (o *offsetWriter) Write(p []byte) (int, error) {
	n, err := o.file.WriteAt(p, o.at)
	o.at += int64(n)
	return n, err
}
