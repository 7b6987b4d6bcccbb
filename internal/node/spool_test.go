package node

import (
	"bytes"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestAReportOfLongPathsStaysShort(t *testing.T) {
	s, err := openSpool(filepath.Join(t.TempDir(), "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	const events, path = 300, 64 << 10
	for range events {
		if err := s.append(&keepwardv1.Event{Path: bytes.Repeat([]byte("x"), path)}); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for got < events {
		batch, next, err := s.pending()
		if err != nil || len(batch) == 0 {
			t.Fatalf("after %d events: %d more, %v", got, len(batch), err)
		}
		if n := proto.Size(&keepwardv1.ReportEventsRequest{Events: batch}); n > batchBytes+2*path {
			t.Errorf("a report of %d bytes", n)
		}
		got, s.sent = got+len(batch), next
	}
}
