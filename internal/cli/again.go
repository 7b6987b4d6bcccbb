package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"connectrpc.com/connect"

	"keepward/internal/errs"
)

// keyHeader is by which the server knows a call that it has seen.
const keyHeader = "Idempotency-Key"

// givenKeyMost leaves room for what is put behind a key that was given.
const givenKeyMost = 64

// againAfter is how long is waited before a call is made again whose connection was lost: long enough for
// a server that is started anew, and short enough for who sits before it.
var againAfter = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second}

// repeats makes calls again whose answer was lost on the way. Each has a key of its own, so that the
// server does it once; calls that only look it answers anew.
type repeats struct {
	given string         // of --idempotency-key; empty: keys are made up
	calls map[string]int // how many of each call a command has made
	wait  func(context.Context, time.Duration) error
}

func newRepeats() *repeats {
	return &repeats{calls: map[string]int{}, wait: func(ctx context.Context, d time.Duration) error {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			return nil
		}
	}}
}

// key is that of the next call. One command may make several: the same command again makes the same
// calls, so the second of a kind is the second again.
func (r *repeats) key(procedure string) string {
	if r.given == "" {
		return rand.Text()
	}
	call := strings.ReplaceAll(procedure[strings.LastIndexByte(procedure, '.')+1:], "/", "-")
	r.calls[call]++
	return fmt.Sprintf("%s.%s.%d", r.given, call, r.calls[call])
}

// do makes a call until it is answered, or no server is there to answer it.
func (r *repeats) do(ctx context.Context, next connect.UnaryFunc, req connect.AnyRequest) (connect.AnyResponse, error) {
	res, err := next(ctx, req)
	if !lost(err) || undialled(err) {
		return res, err
	}
	for _, d := range againAfter {
		if r.wait(ctx, d) != nil {
			break
		}
		again, aerr := next(ctx, req)
		if aerr == nil || !lost(aerr) {
			return again, aerr
		}
		res, err = again, cmp.Or(aerr, err)
	}
	return res, err
}

// lost tells whether a call ended without a word of the server.
func lost(err error) bool {
	var ce *connect.Error
	if err == nil || !errors.As(err, &ce) || connect.IsWireError(err) {
		return false
	}
	var ours *errs.Error
	return !errors.As(err, &ours) && (ce.Code() == connect.CodeUnavailable || errors.Is(err, io.ErrUnexpectedEOF))
}

// undialled tells whether there never was a connection: then an address may be wrong, and waiting helps nobody.
func undialled(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
