package wire

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"keepward/internal/repo/seal"
)

// RunReader is a DataHandler that reads several records in one piece.
type RunReader interface {
	// Runs parts ids into what is read in one piece, in the order in which to read; every
	// index occurs once.
	Runs(ctx context.Context, ids []seal.ID) []Run
}

// Run is records that are read in one piece.
type Run interface {
	// Size is how much memory Read needs.
	Size() int
	// Asked is how many bytes of that are the records'.
	Asked() int
	// Read reads into buf, which is as long as Size, and calls fn once for each record with its
	// index, and with its bytes, in buf or not, or why it cannot be had.
	Read(ctx context.Context, buf []byte, fn func(i int, rec []byte, err error))
}

// getPiece is how many ids of one get a worker takes at once where there are no runs.
const getPiece = 16

// getJob is one get, worked on in parts.
type getJob struct {
	request uint64
	ids     []seal.ID
	left    atomic.Int64 // parts

	mu  sync.Mutex
	err error // the first
}

// getPart is what a worker does at once: some ids, a run, or all ids that are to be parted.
type getPart struct {
	job      *getJob
	from, to int
	run      Run
	plan     RunReader
}

func (d *dataConn) get(h header, b []byte) error {
	ids, err := parseIDs[seal.ID](b)
	if err != nil {
		return err
	}
	if err := d.admitRequest(); err != nil {
		return err
	}
	if len(ids) == 0 {
		d.result(h.request, nil)
		return nil
	}
	job := &getJob{request: h.request, ids: ids}
	if plan, ok := d.s.handler.(RunReader); ok {
		job.left.Store(1)
		d.gets.push(getPart{job: job, plan: plan})
		return nil
	}
	job.left.Store(int64((len(ids) + getPiece - 1) / getPiece))
	for from := 0; from < len(ids); from += getPiece {
		d.gets.push(getPart{job: job, from: from, to: min(from+getPiece, len(ids))})
	}
	return nil
}

func (d *dataConn) getWork() {
	for {
		p, ok := d.gets.pop()
		if !ok {
			return
		}
		d.work(p)
		if p.job.left.Add(-1) == 0 {
			d.result(p.job.request, p.job.err)
		}
	}
}

func (d *dataConn) work(p getPart) {
	switch {
	case p.plan != nil:
		d.part(p.job, p.plan)
	case p.run != nil:
		d.sendRun(p.job, p.run)
	default:
		for i := p.from; i < p.to; i++ {
			if err := d.sendRecord(p.job, i); err != nil {
				p.job.fail(err)
			}
		}
	}
}

// part queues the runs of a get and reads the first at once.
func (d *dataConn) part(job *getJob, plan RunReader) {
	runs := plan.Runs(d.ctx, job.ids)
	if len(runs) == 0 {
		return
	}
	job.left.Add(int64(len(runs) - 1))
	for _, run := range runs[1:] {
		d.gets.push(getPart{job: job, run: run})
	}
	d.sendRun(job, runs[0])
}

func (j *getJob) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = err
	}
}

// sendRun sends the records of a run, which share the memory that it was read into. Where most
// of what was read is not asked for, each gets memory of its own: the window counts records.
func (d *dataConn) sendRun(j *getJob, run Run) {
	buf := newBuffer(run.Size())
	defer buf.free()
	sparse := run.Size() > 2*run.Asked()
	run.Read(d.ctx, buf.b, func(i int, rec []byte, err error) {
		if err == nil {
			err = d.window.Acquire(d.ctx, int64(len(rec)))
		}
		if err != nil {
			j.fail(err)
			return
		}
		d.inFlight.Add(int64(len(rec)))
		own := buf
		if sparse {
			own = newBuffer(len(rec))
			copy(own.b, rec)
			rec = own.b
		} else {
			own.hold()
		}
		d.sendFrame(j, i, rec, own)
	})
}

// sendRecord sends one record of a get. One that fails does not keep the others back: the
// failure of the get names the first.
func (d *dataConn) sendRecord(j *getJob, i int) error {
	// Most records are this long or shorter; longer ones bring their own memory.
	buf := newBuffer(1 << 20)
	rec, err := d.s.handler.Get(d.ctx, j.ids[i], buf.b[:0])
	if err == nil {
		err = d.window.Acquire(d.ctx, int64(len(rec)))
	}
	if err != nil {
		buf.free()
		return err
	}
	d.inFlight.Add(int64(len(rec)))
	if len(rec) < len(buf.b)/4 {
		// A window of small records must not hold large buffers.
		small := newBuffer(len(rec))
		copy(small.b, rec)
		buf.free()
		rec, buf = small.b, small
	}
	d.sendFrame(j, i, rec, buf)
	return nil
}

// sendFrame queues a record; own is freed once it is written.
func (d *dataConn) sendFrame(j *getJob, i int, rec []byte, own *buffer) {
	prefix := binary.LittleEndian.AppendUint32(nil, uint32(i))
	d.fc.send(outFrame{header: header{kind: kindRecord, request: j.request}, prefix: prefix, body: rec, own: own})
}
