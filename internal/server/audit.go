package server

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/audit"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

const (
	// How long a refusal, or the reading of the same thing, is not written down again. Who knocks, or
	// mounts a restore point, calls thousands of times.
	refusedFor = time.Minute
	readFor    = 10 * time.Minute
	// refusedKept bounds how many different refusals of strangers are rows of their own in
	// refusedFor; the others share one. A stranger may make up names as he likes.
	refusedKept = 100
	// readKept bounds the memory; what is forgotten is written down again.
	readKept = 10_000
	// claimedMost bounds the name that a stranger claims to have.
	claimedMost = 128
)

// auditor writes down who calls what. It is an interceptor, and safe for concurrent use.
//
// Of calls that are audited each, the row stands before the call begins: what cannot be written down
// is not done. The row of the outcome comes behind; if that cannot be written, the call is one whose
// outcome is not known, and its answer goes out all the same, for it may be the only one with a
// recovery key. Calls audited itself write their row in their own transaction, by auditIn.
type auditor struct {
	db  *catalog.DB
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	refusal map[refusalKey]*refusal
	read    map[string]time.Time
}

// refusalKey is what makes refusals the same.
type refusalKey struct{ user, token, address, call, outcome string }

// refusal is a row that stands, and how many came since that are not in it.
type refusal struct {
	row   audit.Row
	until time.Time
	more  uint64
}

func newAuditor(db *catalog.DB, log *slog.Logger, now func() time.Time) *auditor {
	return &auditor{db: db, log: log, now: now, refusal: map[refusalKey]*refusal{}, read: map[string]time.Time{}}
}

// row is what is known of a call before its message.
func (a *auditor) row(ctx context.Context, procedure, addr string) audit.Row {
	r := audit.Row{Time: a.now().UnixNano(), Kind: audit.KindCall, Address: hostOf(addr), Call: callName(procedure), Times: 1}
	if methods[procedure].may == 0 { // what a stranger made up is named, and is no call of ours
		r.Call, r.Named = "unlisted", []audit.Named{{Field: "path", Value: bounded(procedure)}}
	}
	if c, ok := callerOf(ctx); ok {
		r.User, r.Token, r.Role = c.user.Name, c.token.ID, c.role()
	}
	return r
}

// hostOf is an address without its port.
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	return bounded(addr)
}

// bounded cuts what comes from outside, and leaves it text.
func bounded(s string) string {
	if len(s) > claimedMost {
		s = strings.ToValidUTF8(s[:claimedMost], "") + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// refused writes down a call that was not let in, or whose own proof was not good. The same again
// within refusedFor is counted, and comes as one row.
func (a *auditor) refused(ctx context.Context, r audit.Row, err error) {
	r.Outcome = outcomeOf(err)
	if errs.KindOf(err) == errs.Cancelled {
		return // whoever called has gone, or the server goes: nothing was refused
	}
	key := refusalKey{r.User, r.Token, addressKey(net.JoinHostPort(r.Address, "0")), r.Call, r.Outcome}
	now := a.now()
	a.mu.Lock()
	had := a.refusal[key]
	if had == nil && len(a.refusal) >= refusedKept {
		key = refusalKey{call: "others"}
		r = audit.Row{Time: r.Time, Kind: r.Kind, Call: "others", Outcome: "refused", Times: 1}
		had = a.refusal[key]
	}
	if had != nil {
		had.more++
		a.mu.Unlock()
		return
	}
	a.refusal[key] = &refusal{row: r, until: now.Add(refusedFor)}
	a.mu.Unlock()
	a.write(ctx, r)
}

// write is for rows behind which nothing happens any more: that one is missing is told.
func (a *auditor) write(ctx context.Context, r audit.Row) {
	if _, err := a.db.Audit(context.WithoutCancel(ctx), r); err != nil {
		a.log.Error("audit row not written", "kind", r.Kind, "call", r.Call, "user", r.User, "outcome", r.Outcome, "ends", r.Ends, "reason", err)
	}
}

// serve writes down what was counted, every refusedFor and at the end.
func (a *auditor) serve(ctx context.Context) error {
	if head, err := catalog.AuditHead(ctx, a.db.Read()); err == nil {
		a.log.Info("audit log", "head", head.String()) // who keeps the server's log has a head for verify
	}
	tick := time.NewTicker(refusedFor)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			a.flush(ctx, true)
			return ctx.Err()
		case <-tick.C:
			a.flush(ctx, false)
		}
	}
}

// flush writes down what was refused again and again, and forgets what was quiet.
func (a *auditor) flush(ctx context.Context, all bool) {
	now := a.now()
	var due []audit.Row
	a.mu.Lock()
	for key, f := range a.refusal {
		if now.Before(f.until) && !all {
			continue
		}
		if f.more == 0 {
			delete(a.refusal, key)
			continue
		}
		r := f.row
		r.Time, r.Times = now.UnixNano(), f.more
		due = append(due, r)
		f.more, f.until = 0, now.Add(refusedFor)
	}
	for key, until := range a.read {
		if !now.Before(until) {
			delete(a.read, key)
		}
	}
	a.mu.Unlock()
	for _, r := range due {
		a.write(ctx, r)
	}
}

// recently tells whether a reading of the same thing was written down.
func (a *auditor) recently(key string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now().Before(a.read[key])
}

func (a *auditor) remember(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.read) >= readKept {
		clear(a.read)
	}
	a.read[key] = a.now().Add(readFor)
}

// auditedCall is one call on its way.
type auditedCall struct {
	a       *auditor
	rule    audited
	row     audit.Row
	key     string    // of folded
	begun   uint64    // number of its row
	written bool      // by auditIn
	skipped bool      // written down a while ago
	repeats time.Time // when the call was made that this one only repeats; zero: it is the first

	approval int64 // that it was asked for with, or made by; 0: it needs none
}

type auditedKey struct{}

// begin writes down that a call begins; an error means that it must not. nil: it is not audited.
func (a *auditor) begin(ctx context.Context, procedure, addr string, message any) (*auditedCall, error) {
	c := &auditedCall{a: a, rule: methods[procedure].audit, row: a.row(ctx, procedure, addr)}
	if c.rule == silent {
		return nil, nil
	}
	if m, ok := message.(*keepwardv1.LoginRequest); ok {
		c.row.User = bounded(m.GetUser())
	} else {
		c.row.Named = namedBy(message, asked)
	}
	switch c.rule {
	case itself:
		return c, nil
	case folded:
		r := c.row
		r.Time, r.Address = 0, addressKey(addr)
		sum := r.Sum() // of a row without number and time
		c.key = string(sum[:])
		if c.skipped = a.recently(c.key); c.skipped {
			return c, nil
		}
	}
	r := c.row
	r.Kind = audit.KindBegin
	written, err := a.db.Audit(ctx, r)
	c.begun = written.Number
	return c, err
}

// end writes down what became of it.
func (c *auditedCall) end(ctx context.Context, answer any, err error) {
	r := c.row
	r.Time, r.Outcome = c.a.now().UnixNano(), outcomeOf(err)
	switch {
	case c.skipped, c.rule == itself && err == nil && c.written:
		return
	case c.rule == itself && err != nil:
		c.a.refused(ctx, r, err)
		return
	case c.rule == itself:
		c.a.log.Error("a call has not written its own audit row", "call", r.Call)
	default:
		r.Kind, r.Ends = audit.KindEnd, c.begun
	}
	if r.Named = nil; err == nil {
		r.Named = namedBy(answer, answered)
		if !c.repeats.IsZero() {
			r.Named = append(r.Named, repeatOf(c.repeats))
		}
	}
	if c.approval != 0 {
		r.Named = append(r.Named, audit.Named{Field: "approval", Value: strconv.FormatInt(c.approval, 10)})
	}
	c.a.write(ctx, r)
	if c.rule == folded && err == nil {
		c.a.remember(c.key)
	}
}

// auditIn writes the row of a call that is audited itself in the transaction of its change: both
// are there or neither. add, which may be nil, puts in who it turned out to be.
func auditIn(ctx context.Context, tx *sql.Tx, add func(r *audit.Row)) error {
	c, ok := ctx.Value(auditedKey{}).(*auditedCall)
	if !ok {
		return nil // not a call
	}
	r := c.row
	r.Outcome = audit.Done
	if add != nil {
		add(&r)
	}
	c.written = true
	return catalog.AuditWith(ctx, tx, r)
}

var codeLike = regexp.MustCompile(`^[a-z0-9.-]{1,64}$`)

// outcomeOf is the code of an error, or its kind. Codes may come from nodes, so they are looked at.
func outcomeOf(err error) string {
	if err == nil {
		return audit.Done
	}
	if code := errs.CodeOf(err); codeLike.MatchString(code) {
		return code
	}
	return string(errs.KindOf(err))
}

func (a *auditor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		c, err := a.begin(ctx, req.Spec().Procedure, req.Peer().Addr, req.Any())
		if err != nil {
			return nil, err
		}
		if c == nil {
			return next(ctx, req)
		}
		res, err := next(context.WithValue(ctx, auditedKey{}, c), req)
		var answer any
		if err == nil {
			answer = res.Any()
		}
		c.end(ctx, answer, err)
		return res, err
	}
}

func (*auditor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func (a *auditor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if methods[conn.Spec().Procedure].audit == silent {
			return next(ctx, conn)
		}
		s := &auditedStream{StreamingHandlerConn: conn, ctx: ctx, a: a}
		err := next(ctx, s)
		if s.call != nil {
			s.call.end(ctx, nil, err)
		}
		return err
	}
}

// auditedStream writes its call down when the first message has come, and before anybody sees it.
type auditedStream struct {
	connect.StreamingHandlerConn
	ctx    context.Context
	a      *auditor
	looked bool
	call   *auditedCall // nil: nothing was begun
}

func (s *auditedStream) Receive(m any) error {
	err := s.StreamingHandlerConn.Receive(m)
	if s.looked || err != nil && !errors.Is(err, io.EOF) { // an end without a message is an empty one
		return err
	}
	s.looked = true
	call, aerr := s.a.begin(s.ctx, s.Spec().Procedure, s.Peer().Addr, m)
	if aerr != nil {
		return aerr
	}
	s.call = call
	return err
}
