package track

import (
	"encoding/json"

	"keepward/internal/changes"
)

// token is what a restore point keeps: which volumes were mounted where the backup came by, and
// of each the token of its tracker. It is JSON, so that a person can read it; paths are bytes,
// which JSON has as base64.
type token struct {
	Version int      `json:"v"`
	Include [][]byte `json:"include"`
	Volumes []volume `json:"volumes"`
}

type volume struct {
	At    []byte `json:"at"`
	Token []byte `json:"token,omitempty"` // none: nobody watched it
}

const (
	tokenVersion = 1
	// maxToken bounds it: a computer with thousands of mounts has every file compared instead.
	maxToken = 256 << 10
)

// encode answers the token's bytes, nil if it is too large.
func (t *token) encode() []byte {
	t.Version = tokenVersion
	b, err := json.Marshal(t)
	if err != nil || len(b) > maxToken { // it never fails
		return nil
	}
	return b
}

// parseToken reads a token, or answers why it is of no use.
func parseToken(b []byte) (*token, changes.Reason) {
	if len(b) == 0 {
		return nil, changes.TokenMissing
	}
	var t token
	if len(b) > maxToken || json.Unmarshal(b, &t) != nil || t.Version != tokenVersion {
		return nil, changes.TokenUnreadable
	}
	return &t, ""
}

// of answers what a token has of the volume mounted at a place.
func (t *token) of(at string) (b []byte, known bool) {
	for _, v := range t.Volumes {
		if string(v.At) == at {
			return v.Token, true
		}
	}
	return nil, false
}
