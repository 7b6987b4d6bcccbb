package wire

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

func FuzzHeader(f *testing.F) {
	for k, frame := range frames {
		var b [headerSize]byte
		header{kind: k, length: frame.limit, request: 7}.put(b[:])
		f.Add(b[:])
	}
	f.Add(bytes.Repeat([]byte{255}, headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerSize {
			return
		}
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		var again [headerSize]byte
		h.put(again[:])
		if !bytes.Equal(again[:], b[:headerSize]) {
			t.Errorf("%x was read as %x", b[:headerSize], again)
		}
		if h.length < 0 || h.length > frames[h.kind].limit {
			t.Errorf("length %d of kind %d", h.length, h.kind)
		}
	})
}

func FuzzHello(f *testing.F) {
	hi := hello{min: 1, max: 3, capabilities: 5, key: seal.Secret{1}, attempt: point.Attempt{2}, nonce: seal.Secret{3}, index: 4, wish: 5, window: recordWindow}
	f.Add(hi.encode())
	f.Add([]byte("KWDC"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			return
		}
		if !bytes.Equal(h.encode(), b) {
			t.Errorf("hello came back differently")
		}
		if v, err := h.version(); err == nil && (v < h.min || v > h.max) {
			t.Errorf("version %d of %d to %d", v, h.min, h.max)
		}
	})
}

func FuzzWelcome(f *testing.F) {
	w := welcome{version: 1, connections: 1, credit: dataCredit, capabilities: 2, received: 3, nonce: seal.Secret{4}}
	f.Add(w.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := parseWelcome(b); err == nil && !bytes.Equal(w.encode(), b) {
			t.Errorf("welcome came back differently")
		}
	})
}

func FuzzDraft(f *testing.F) {
	f.Add(appendDraft(nil, &point.Draft{Type: point.Complete, RootID: seal.ID{1}, Refs: []seal.ID{{2}, {3}}, Body: []byte("body")}))
	f.Add(bytes.Repeat([]byte{1}, draftFixed))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDraft(b)
		if err != nil {
			return
		}
		again, err := parseDraft(appendDraft(nil, &d))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, again); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzFailure(f *testing.F) {
	f.Add(encodeFailure(protocolError("a %s", "fault"), "mover"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if parseFailure(b) == nil {
			t.Error("a failure is no error")
		}
	})
}

// FuzzSession lets an agent that knows the key say anything: the mover must neither crash
// nor hang nor take more than its credit.
func FuzzSession(f *testing.F) {
	frame := func(k kind, request uint64, payload []byte) []byte {
		b := make([]byte, headerSize, headerSize+len(payload))
		header{kind: k, length: len(payload), request: request}.put(b)
		return append(b, payload...)
	}
	draft := appendDraft(nil, &point.Draft{Type: point.Complete})
	f.Add(bytes.Join([][]byte{
		frame(kindPut, 1, []byte("record")), frame(kindHave, 1, make([]byte, 64)), frame(kindGet, 2, make([]byte, 32)),
		frame(kindPing, 0, nil), frame(kindCommit, 3, draft), frame(kindCommit, 3, draft), frame(kindBye, 0, nil),
	}, nil))
	f.Add(frame(kindPut, 9, []byte("out of order")))
	f.Add(frame(kindCredit, 0, bytes.Repeat([]byte{255}, 8)))
	f.Add(frame(kindAbort, 0, []byte("no")))
	f.Add(frame(kindWelcome, 0, make([]byte, welcomeSize)))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewDataServer(DataServerConfig{Agent: "web1", Wait: time.Minute}, &memory{records: map[seal.ID][]byte{{}: []byte("r")}})
		agent, mine := net.Pipe()
		d := newDataConn(s, local(mine, s.cfg.timing, Identity{Role: RoleAgent, Name: "web1"}), &hello{window: recordWindow})
		d.s.conn = d
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		served := make(chan struct{})
		s.conns.Go(func() { s.work(s.over) })
		s.conns.Go(func() { d.serve(s.over); close(served) })
		s.conns.Go(func() { _, _ = io.Copy(io.Discard, agent) })
		_ = agent.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = agent.Write(b)
		_ = agent.Close()
		select {
		case <-served:
		case <-ctx.Done():
			t.Error("the connection is still served")
		}
		s.end(errBye)
		s.ordered.close()
		s.conns.Wait()
	})
}
