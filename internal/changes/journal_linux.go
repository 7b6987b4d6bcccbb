package changes

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"keepward/internal/errs"
)

// JournalOptions say what a Journal watches and where it writes.
type JournalOptions struct {
	// Mount is where the volume is mounted, by the root of its file system.
	Mount string
	// Spool is a directory of the journal's own.
	Spool string
	// Limit is about how many bytes the spool may take; 0: 256 MiB. Behind it the oldest is
	// given up, and with it the parents that need it.
	Limit int64
	// Inherited is what Handover of an earlier process answered, nil if there is nothing. If
	// that process ended in order its tokens stay good. It belongs to the Journal from here on.
	Inherited *os.File
	// FewEvents keeps the kernel's own limit of waiting events, so that an overflow costs a
	// walk and no memory of the kernel. Else it keeps all until they are read.
	FewEvents bool
	// Trust answers true for a process that must not be looked into and yet is known not to
	// write to the volume through a mapping or the like; without it, and for others, all is in
	// doubt when there is such a process.
	Trust func(pid int) bool
}

// Journal is the tracker of a running file system: it is told by fanotify of everything that
// happens and writes down, once between two backups, which name or file it was about. Nothing
// is missing from the moment it is opened, while Serve runs or not; Serve only keeps the
// kernel's queue short. File flags (chattr) are the exception: no kernel up to 6.18 tells of
// a change of these alone. Only Inode, never Extents, is known of its changes.
type Journal struct {
	options JournalOptions
	boot    id
	fsid    unix.Fsid
	file    *os.File // the fanotify group

	mu    sync.Mutex // guards what is below, and reading from file
	spool *spool
	// What was written since the last token, in two generations, so that it is bounded.
	recent, older map[string]struct{}
	buf           []byte
	out           []byte
	closed        bool
}

const (
	// maxSeen is how many facts a generation remembers: some 5 MiB.
	maxSeen = 32 << 10
	// spoolLimit is a day of a server that changes a million files.
	spoolLimit = 256 << 20
)

// OpenJournal begins to watch a volume. It fails with tracker.unsupported where kernel, rights
// or file system do not allow that.
func OpenJournal(o JournalOptions) (*Journal, error) {
	if o.Limit == 0 {
		o.Limit = spoolLimit
	}
	j := &Journal{options: o, recent: map[string]struct{}{}, buf: make([]byte, 64<<10)}
	if err := j.open(); err != nil {
		if o.Inherited != nil {
			_ = o.Inherited.Close() // nobody else will
		}
		return nil, errs.New(errs.Invalid, "tracker.unsupported", "watch %s: %w", o.Mount, err)
	}
	return j, nil
}

func (j *Journal) open() error {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	if _, err := hex.Decode(j.boot[:], []byte(strings.ReplaceAll(strings.TrimSpace(string(b)), "-", ""))); err != nil {
		return fmt.Errorf("boot id: %w", err)
	}
	m, err := openMount(j.options.Mount)
	if err != nil {
		return err
	}
	defer m.close()
	j.fsid = m.fsid
	if j.options.Inherited != nil && j.goOn() {
		return nil
	}
	flags := uint(unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_DFID_NAME_TARGET | unix.FAN_NONBLOCK | unix.FAN_CLOEXEC)
	if !j.options.FewEvents {
		flags |= unix.FAN_UNLIMITED_QUEUE
	}
	fd, err := unix.FanotifyInit(flags, unix.O_RDONLY|unix.O_LARGEFILE|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fanotify: %w", err)
	}
	j.file = os.NewFile(uintptr(fd), "fanotify")
	err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD|unix.FAN_MARK_FILESYSTEM, watched, unix.AT_FDCWD, j.options.Mount)
	if err != nil {
		err = fmt.Errorf("fanotify mark: %w", err)
	} else {
		j.spool, err = newSpool(j.options.Spool, random(), j.boot, j.options.Limit)
	}
	if err != nil {
		_ = j.file.Close() // nothing is lost that was known
		return err
	}
	if j.options.Inherited != nil {
		_ = j.options.Inherited.Close() // it was not good
	}
	return nil
}

// goOn takes over from an earlier process, if that ended in order.
func (j *Journal) goOn() bool {
	s, whole, err := recoverSpool(j.options.Spool, j.boot, j.options.Limit)
	if err != nil || !whole || unix.SetNonblock(int(j.options.Inherited.Fd()), true) != nil {
		return false
	}
	j.spool, j.file = s, j.options.Inherited
	if !j.alive() {
		return false
	}
	// Fd has taken the file from the runtime's poller; a new one is put under it.
	fd, err := unix.FcntlInt(j.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil || unix.SetNonblock(fd, true) != nil {
		return false
	}
	_ = j.file.Close()
	j.file = os.NewFile(uintptr(fd), "fanotify")
	return true
}

func random() (x id) {
	_, _ = rand.Read(x[:]) // it never fails
	return x
}

// Kind is KindJournal.
func (*Journal) Kind() Kind { return KindJournal }

// Serve reads events as they come, until ctx ends.
func (j *Journal) Serve(ctx context.Context) error {
	conn, err := j.file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = j.file.SetReadDeadline(past) })
	defer stop()
	err = conn.Read(func(fd uintptr) bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		if !j.closed && ctx.Err() == nil {
			j.pump(int(fd))
		}
		return j.closed || ctx.Err() != nil
	})
	if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
		return ctx.Err()
	}
	return err
}

// pump reads what there is and writes it down. Whatever goes wrong is a gap.
func (j *Journal) pump(fd int) {
	for {
		n, err := unix.Read(fd, j.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			if err != nil && !errors.Is(err, unix.EAGAIN) {
				j.gap(SpoolLost)
			}
			break
		}
		lost, err := readEvents(j.buf[:n], j.take)
		if lost {
			j.gap(Overflow)
		}
		if err != nil {
			j.gap(SpoolLost)
		}
	}
	j.flush()
}

// take writes a fact down, unless that was done since the last token.
func (j *Journal) take(f *fact) error {
	n := len(j.out)
	j.out = f.encode(j.out)
	key := string(j.out[n:])
	j.out = j.out[:n]
	if _, ok := j.recent[key]; ok {
		return nil
	}
	if _, ok := j.older[key]; !ok {
		j.out = appendRecord(j.out, recordFact, []byte(key))
	}
	j.recent[key] = struct{}{}
	if len(j.recent) >= maxSeen {
		j.older, j.recent = j.recent, map[string]struct{}{}
	}
	if len(j.out) > 256<<10 {
		j.flush()
	}
	return nil
}

func (j *Journal) flush() {
	if len(j.out) == 0 {
		return
	}
	err := j.spool.write(j.out)
	j.out = j.out[:0]
	if err != nil {
		j.gap(SpoolLost)
	}
}

func (j *Journal) gap(why Reason) {
	j.flush()
	j.spool.lost(why)
}

// drain reads all that has happened until now.
func (j *Journal) drain() error {
	if j.closed {
		return os.ErrClosed
	}
	conn, err := j.file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { j.pump(int(fd)) })
}

// Begin answers the moment from which the next backup looks.
func (j *Journal) Begin(context.Context) (Moment, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.drain(); err != nil {
		return nil, fmt.Errorf("read the journal of %s: %w", j.options.Mount, err)
	}
	m := &journalMoment{j: j, token: journalToken{journal: j.spool.journal, boot: j.boot, mark: random()}}
	m.token.position = j.spool.end
	if err := j.spool.write(appendRecord(nil, recordMark, m.token.mark[:])); err != nil {
		j.gap(SpoolLost)
		m.bad = true // this backup can use the journal, the next cannot build on it
	}
	// What is told from here on is told again.
	clear(j.recent)
	j.older = nil
	return m, nil
}

type journalMoment struct {
	j     *Journal
	token journalToken
	bad   bool
}

// Token is the place in the journal where Begin was called.
func (m *journalMoment) Token(context.Context, View) ([]byte, error) {
	if m.bad {
		return nil, nil
	}
	return m.token.encode(), nil
}

// Keep trims what none of the tokens needs; those of other trackers and journals do not count.
// It is told every token from which a backup may still start.
func (j *Journal) Keep(tokens [][]byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	oldest := j.spool.end
	for _, b := range tokens {
		t, why := parseJournalToken(b)
		if why == "" && t.journal == j.spool.journal && t.boot == j.boot {
			oldest = min(oldest, t.position)
		}
	}
	return j.spool.trim(oldest)
}

// Handover ends the journal and answers its descriptor, which another process, or this one
// behind an exec, passes to OpenJournal. The kernel keeps what happens meanwhile.
func (j *Journal) Handover() (*os.File, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, os.ErrClosed
	}
	conn, err := j.file.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := conn.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, dupErr
	}
	out := os.NewFile(uintptr(fd), "fanotify")
	err = j.spool.write(appendRecord(nil, recordHandover, nil))
	j.closed = true // nothing is read behind the record
	if err = errors.Join(err, j.shut()); err != nil {
		_ = out.Close() // without the record it is of no use
		return nil, err
	}
	return out, nil
}

// Close ends the journal; its tokens are worth nothing from here on.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	return j.shut()
}

// shut closes what is open; mu is held and closed is set. The file is closed without mu: that waits
// for Serve to leave it, and Serve may be about to take mu for an event.
func (j *Journal) shut() error {
	j.mu.Unlock()
	err := j.file.Close()
	j.mu.Lock()
	return errors.Join(err, j.spool.close())
}

// alive tells whether the mark is still there: it goes when the file system is unmounted, and
// a new mount of it has none.
func (j *Journal) alive() bool {
	conn, err := j.file.SyscallConn()
	if err != nil {
		return false
	}
	found := 0
	_ = conn.Control(func(fd uintptr) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		if err == nil {
			found = bytes.Count(b, []byte("fanotify sdev:"))
		}
	})
	return found == 1
}

// Watching tells whether the volume that is mounted there is the one that the journal was opened
// for, and is watched still.
func (j *Journal) Watching() bool {
	m, err := openMount(j.options.Mount)
	if err != nil {
		return false
	}
	defer m.close()
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.closed && m.fsid == j.fsid && j.alive()
}

// files answers the spool as it is now, for reading without the lock.
func (j *Journal) files() []spoolFile { return slices.Clone(j.spool.files) }
