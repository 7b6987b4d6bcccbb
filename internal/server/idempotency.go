package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"log/slog"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/audit"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

const (
	// keyHeader is by which who calls says that a call is the same as one before.
	keyHeader = "Idempotency-Key"
	// repeatedHeader is in an answer that was given before.
	repeatedHeader = "Idempotency-Repeated"

	keyMost = 128
	// keysKept is how long a key is known, and keysMost of how many a user's newest: a row is a few
	// hundred bytes.
	keysKept = 24 * time.Hour
	keysMost = 20_000
	// keyAnswerMost bounds the answer that is kept with a key.
	keyAnswerMost = 64 << 10
	// keyWait is how long a call waits for the one that goes on with its key.
	keyWait = 30 * time.Second
	// keysSwept is how often what is older is deleted.
	keysSwept = 10 * time.Minute
)

// answering says what becomes of the answer of a call with a key. The zero is that it is kept: what
// answers a secret must have a row, which a test sees to.
type answering int

const (
	kept answering = iota
	// secret answers are given once and kept nowhere: the same call again is told that it was done.
	secret
	// keyless calls take no key: made twice, they do what they do once.
	keyless
)

// repeatRule is what differs from the rule, and how to go on where the answer is lost.
type repeatRule struct {
	how answering
	why string
}

// repeatRules are for calls that change something, which all take a key unless it is said here. Calls
// that only look take none: they are made again.
var repeatRules = map[string]repeatRule{
	keepwardv1connect.AccessServiceCreateTokenProcedure:              {secret, "revoke the join token that was made (ListTokens, RevokeToken) and make another one"},
	keepwardv1connect.APITokenServiceCreateAPITokenProcedure:         {secret, "revoke the token that was made (ListAPITokens, RevokeAPIToken) and make another one"},
	keepwardv1connect.RepositoryServiceCreateRepositoryProcedure:     {secret, "the repository is there; ExportRecoveryKey has its recovery key"},
	keepwardv1connect.RepositoryServiceAddRepositoryKeyProcedure:     {secret, "the key is there; ExportRecoveryKey has the recovery key that counts"},
	keepwardv1connect.RepositoryServiceExportRecoveryKeyProcedure:    {keyless, "it changes nothing"},
	keepwardv1connect.ConfigServiceApplyProcedure:                    {secret, "what was applied is there (Export); ExportRecoveryKey has the keys of new repositories"},
	keepwardv1connect.OneTimeCodeServiceEnrolOneTimeCodesProcedure:   {secret, "enrol again: the secret that was not confirmed counts no more then"},
	keepwardv1connect.OneTimeCodeServiceConfirmOneTimeCodesProcedure: {secret, "logins need a code now; make new recovery codes (RenewRecoveryCodes)"},
	keepwardv1connect.OneTimeCodeServiceRenewRecoveryCodesProcedure:  {secret, "make new recovery codes once more, with another code"},
	keepwardv1connect.PasskeyServiceBeginPasskeyProcedure:            {keyless, "it makes options to show once"},
	keepwardv1connect.SignOnServiceConnectSignOnProcedure:            {keyless, "it makes an address to go to once"},
	keepwardv1connect.ContentServiceOpenContentProcedure:             {keyless, "it changes nothing"},
	keepwardv1connect.UpdateServiceUploadPackageProcedure:            {keyless, "a part says where it belongs"},
}

// takesKey tells whether a call may have a key: those that are written down one by one, but for streams.
func takesKey(procedure string) bool {
	return methods[procedure].audit == each && repeatRules[procedure].how != keyless
}

// repeater answers a call that was made before from what was kept of it. It is an interceptor, and
// safe for concurrent use.
//
// A call with a key is done once or not at all. Its row is written before it begins and completed when it
// is done; a server that ended between both does not know whether it was, says so, and does not do it
// again. A call that was refused, or failed, leaves no row.
type repeater struct {
	db   *catalog.DB
	log  *slog.Logger
	seal seal.Secret
	key  []byte // of digests: a message may have a password in it, which its plain hash would give away
	now  func() time.Time
	wait time.Duration

	mu      sync.Mutex
	running map[keyOf]chan struct{} // closed when the call is over
	stop    context.Context         // ends calls with a key, which do not end with who made them; nil: nothing does
}

type keyOf struct {
	user int64
	key  string
}

func newRepeater(db *catalog.DB, keys seal.Secret, log *slog.Logger) *repeater {
	h := hmac.New(sha256.New, keys[:])
	h.Write([]byte("keepward idempotency keys"))
	return &repeater{db: db, log: log, seal: keys, key: h.Sum(nil), now: time.Now, wait: keyWait, running: map[keyOf]chan struct{}{}}
}

// serve deletes what is too old.
func (r *repeater) serve(ctx context.Context) error {
	r.mu.Lock()
	r.stop = ctx
	r.mu.Unlock()
	tick := time.NewTicker(keysSwept)
	defer tick.Stop()
	for {
		err := r.db.Write(ctx, func(tx *sql.Tx) error {
			return catalog.SweepKeyedCalls(ctx, tx, r.now().Add(-keysKept), keysMost)
		})
		if err != nil && ctx.Err() == nil {
			r.log.Warn("old idempotency keys not deleted", "reason", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (r *repeater) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		key, procedure := req.Header().Get(keyHeader), req.Spec().Procedure
		c, ok := callerOf(ctx)
		if key == "" || !ok || !takesKey(procedure) {
			return next(ctx, req)
		}
		if err := checkKey(key); err != nil {
			return nil, err
		}
		m, ok := req.Any().(proto.Message)
		if !ok {
			return nil, errs.New(errs.Internal, "", "call %s: its message is a %T", callName(procedure), req.Any())
		}
		digest, err := r.digest(procedure, m)
		if err != nil {
			return nil, err
		}
		id := keyOf{c.user.ID, key}
		done, err := r.begin(ctx, id, procedure)
		if err != nil {
			return nil, err
		}
		defer done()
		before, ok, err := catalog.KeyedCallOf(ctx, r.db.Read(), id.user, id.key, r.now().Add(-keysKept))
		switch {
		case err != nil:
			return nil, err
		case ok:
			return r.again(ctx, before, digest, req.Spec())
		}
		return r.first(ctx, catalog.KeyedCall{UserID: id.user, Key: key, Call: procedure, Digest: digest, State: catalog.KeyedRunning, Begun: r.now()}, next, req)
	}
}

// checkKey refuses what is no key: it goes into errors and tables.
func checkKey(key string) error {
	if len(key) > keyMost {
		return errs.New(errs.Invalid, "idempotency.key", "read %s: it has %d bytes, and %d are the most", keyHeader, len(key), keyMost)
	}
	for _, b := range []byte(key) {
		if b <= ' ' || b > '~' {
			return errs.New(errs.Invalid, "idempotency.key", "read %s: it must be printable ASCII without blanks", keyHeader)
		}
	}
	return nil
}

// digest tells messages from each other.
func (r *repeater) digest(procedure string, m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	h := hmac.New(sha256.New, r.key)
	h.Write([]byte(procedure + "\x00"))
	h.Write(b)
	return h.Sum(nil), err
}

// begin takes a key for one call; others with it wait a while. The returned function lets it go.
func (r *repeater) begin(ctx context.Context, id keyOf, procedure string) (func(), error) {
	limit := time.NewTimer(r.wait)
	defer limit.Stop()
	for {
		r.mu.Lock()
		other := r.running[id]
		if other == nil {
			over := make(chan struct{})
			r.running[id] = over
			r.mu.Unlock()
			return func() {
				r.mu.Lock()
				delete(r.running, id)
				r.mu.Unlock()
				close(over)
			}, nil
		}
		r.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, errs.New(errs.Cancelled, "", "call %s: %w", callName(procedure), ctx.Err())
		case <-limit.C:
			return nil, errs.New(errs.Busy, "idempotency.running", "call %s: the first call with this %s goes on", callName(procedure), keyHeader).
				WithHint("make the same call again with the same key: it is answered when the first one is over")
		}
	}
}

// first does the call. Who makes it may hang up: it goes on, for he will come again with his key.
func (r *repeater) first(ctx context.Context, row catalog.KeyedCall, next connect.UnaryFunc, req connect.AnyRequest) (connect.AnyResponse, error) {
	if err := r.db.Write(ctx, func(tx *sql.Tx) error { return catalog.PutKeyedCall(ctx, tx, row) }); err != nil {
		return nil, err
	}
	alone, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r.mu.Lock()
	stop := r.stop
	r.mu.Unlock()
	if stop != nil {
		defer context.AfterFunc(stop, cancel)()
	}
	res, err := next(alone, req)
	if err != nil && alone.Err() != nil {
		return nil, err // the server stops, and nobody knows how far it came: its row says so
	}
	end := func(tx *sql.Tx) error { return catalog.EndKeyedCall(context.WithoutCancel(ctx), tx, row) }
	if err != nil {
		end = func(tx *sql.Tx) error {
			return catalog.ForgetKeyedCall(context.WithoutCancel(ctx), tx, row.UserID, row.Key)
		}
	} else {
		r.keep(&row, res.Any())
	}
	if werr := r.db.Write(context.WithoutCancel(ctx), end); werr != nil {
		r.log.Error("idempotency key not completed: the same call again is told that it is not known what became of it", "call", callName(row.Call), "reason", werr)
	}
	return res, err
}

// keep puts the answer into the row, where it may be there.
func (r *repeater) keep(row *catalog.KeyedCall, answer any) {
	row.State = catalog.KeyedTold
	m, ok := answer.(proto.Message)
	if !ok || repeatRules[row.Call].how == secret || proto.Size(m) > keyAnswerMost {
		return
	}
	b, err := proto.Marshal(m)
	if err == nil {
		b, err = seal.SealBytes(r.seal, b, row.Digest)
	}
	if err != nil {
		r.log.Error("answer of a call with a key not kept", "call", callName(row.Call), "reason", err)
		return
	}
	row.State, row.Answer = catalog.KeyedDone, b
}

// again answers a call that was made before.
func (r *repeater) again(ctx context.Context, before catalog.KeyedCall, digest []byte, spec connect.Spec) (connect.AnyResponse, error) {
	call, when := callName(spec.Procedure), before.Begun.UTC().Format(time.RFC3339)
	switch {
	case before.Call != spec.Procedure || !bytes.Equal(before.Digest, digest):
		return nil, errs.New(errs.Invalid, "idempotency.other-request", "call %s: its %s was used on %s for another request, of %s", call, keyHeader, when, callName(before.Call)).
			WithHint("a key is for one request, made again: make another one for another request")
	case before.State == catalog.KeyedRunning:
		return nil, errs.New(errs.Busy, "idempotency.unknown", "call %s: the server ended on the first try with this %s, begun on %s, and does not know whether it was done; it is not done again", call, keyHeader, when).
			WithHint("look whether it was done; if not, make the call with another key")
	case before.State == catalog.KeyedTold:
		e := errs.New(errs.Exists, "idempotency.answered", "call %s: it was done on %s, and its answer is not kept", call, when)
		if why := repeatRules[before.Call].why; why != "" {
			return nil, e.WithHint("%s", why)
		}
		return nil, e
	}
	method, ok := spec.Schema.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, errs.New(errs.Internal, "", "call %s: it has no schema", call)
	}
	of, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		return nil, err
	}
	b, err := seal.OpenBytes(r.seal, before.Answer, before.Digest)
	if err != nil {
		return nil, err
	}
	m := of.New().Interface()
	if err := proto.Unmarshal(b, m); err != nil {
		return nil, err
	}
	if c, ok := ctx.Value(auditedKey{}).(*auditedCall); ok {
		c.repeats = before.Begun
	}
	res := repeated{connect.NewResponse(&emptypb.Empty{}), m}
	res.Header().Set(repeatedHeader, when)
	return res, nil
}

// repeated is an answer whose type is known only as it is read.
type repeated struct {
	*connect.Response[emptypb.Empty]
	m proto.Message
}

func (r repeated) Any() any { return r.m }

func (*repeater) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler refuses keys where they would be believed and count for nothing.
func (r *repeater) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if procedure := conn.Spec().Procedure; conn.RequestHeader().Get(keyHeader) != "" && takesKey(procedure) {
			return errs.New(errs.Invalid, "idempotency.stream", "call %s: it answers a stream, and takes no %s", callName(procedure), keyHeader)
		}
		return next(ctx, conn)
	}
}

// repeatOf names, in the audit log, the call that one repeats.
func repeatOf(begun time.Time) audit.Named {
	return audit.Named{Field: "repeats", Value: begun.UTC().Format(time.RFC3339Nano)}
}
