package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"keepward/api/keepward/v1/keepwardv1connect"
)

// counted is a message that tells how much of it was taken.
type counted struct {
	r     io.Reader
	taken int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.taken += int64(n)
	return n, err
}

// send posts raw bytes over HTTP/1, where what the server does not read is not sent for long.
func (s *testServer) send(method, token string, body io.Reader) int {
	s.t.Helper()
	transport := s.client.Transport.(*http.Transport).Clone()
	transport.ForceAttemptHTTP2 = false
	transport.TLSClientConfig.NextProtos = []string{"http/1.1"}
	transport.ExpectContinueTimeout = time.Minute
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url()+method, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/proto")
	req.Header.Set("Expect", "100-continue") // the server asks for the message when it wants it
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return res.StatusCode
}

func TestTheMessageOfAStrangerIsNotRead(t *testing.T) {
	s := start(t, t.TempDir())
	for method := range methods {
		if methods[method].may&admin == 0 {
			continue
		}
		body := &counted{r: bytes.NewReader(make([]byte, 4<<20))}
		if status := s.send(method, "kwt1.x", body); status != http.StatusForbidden && status != http.StatusUnauthorized && status != http.StatusOK {
			t.Errorf("%s: status %d", method, status)
		}
		if body.taken > 0 {
			t.Errorf("%s: the server read %d bytes of a stranger", method, body.taken)
		}
	}
}

func TestWhatAnybodyMaySendIsShort(t *testing.T) {
	s := start(t, t.TempDir())
	for _, method := range []string{
		keepwardv1connect.EnrolServiceJoinProcedure, keepwardv1connect.AccessServiceLoginProcedure,
	} {
		// A text field that is longer than all that is asked for.
		long := append([]byte{0x0a, 0x80, 0x80, 0x08}, strings.Repeat("x", 128<<10)...)
		if status := s.send(method, "", bytes.NewReader(long)); status != http.StatusTooManyRequests {
			t.Errorf("%s: status %d to 128 KiB, want that they are too many", method, status)
		}
	}
}
