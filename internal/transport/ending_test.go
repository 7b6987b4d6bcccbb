package transport

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/mover"
)

func TestAnEndIsTakenFromWhereverItIsLeft(t *testing.T) {
	file, err := proto.Marshal(&keepwardv1.AttemptEnd{Outcome: "done", Committed: true})
	if err != nil {
		t.Fatal(err)
	}
	heard := &keepwardv1.AttemptEnd{Outcome: "failed", Failure: &keepwardv1.Failure{Code: "repository.no-space"}}
	tests := map[string]struct {
		heard   *keepwardv1.AttemptEnd
		stopped bool
		files   map[string]string
		outcome string
		code    string
		message string
	}{
		"its file":                       {heard, false, map[string]string{mover.FileEnd: string(file)}, "done", "", ""},
		"its last words, on a full disk": {heard, false, nil, "failed", "repository.no-space", ""},
		"a torn file":                    {nil, false, map[string]string{mover.FileEnd: "\xff"}, "failed", "mover.lost", "the mover ended without saying how"},
		"nowhere, after it was stopped":  {nil, true, nil, "aborted", "mover.killed", "the mover did not end in time and was killed"},
		"nowhere, after a crash": {
			nil, false,
			map[string]string{mover.FileLog: "first\npanic: index out of range\n\ngoroutine 1\n"},
			"failed", "mover.lost",
			"the mover ended without saying how (it said: panic: index out of range)",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := &process{dir: t.TempDir(), end: tt.heard, stopped: tt.stopped}
			for file, content := range tt.files {
				if err := os.WriteFile(filepath.Join(p.dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := p.ending()
			if got.GetOutcome() != tt.outcome || got.GetFailure().GetCode() != tt.code || got.GetFailure().GetMessage() != tt.message {
				t.Errorf("got %v", got)
			}
		})
	}
}
