package site

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
)

// Message runs a command that must succeed with -o json and decodes its one object,
// which is a message of the API. Unknown fields are faults: the schema is one.
func (s *Site) Message(m proto.Message, args ...string) error {
	r, err := s.Do(append(args, "-o", "json")...)
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal([]byte(r.Stdout), m); err != nil {
		return fmt.Errorf("keepward %s -o json: %w\n%s", strings.Join(args, " "), err, r.Stdout)
	}
	return nil
}

// Session is `session show`.
func (s *Site) Session(id int64) (*keepwardv1.Session, error) {
	m := &keepwardv1.Session{}
	return m, s.Message(m, "session", "show", strconv.FormatInt(id, 10))
}

// Sessions is `session list`, the newest first.
func (s *Site) Sessions(args ...string) ([]*keepwardv1.Session, error) {
	m := &keepwardv1.ListSessionsResponse{}
	err := s.Message(m, append([]string{"session", "list"}, args...)...)
	slices.SortFunc(m.Sessions, func(a, b *keepwardv1.Session) int { return int(b.Id - a.Id) })
	return m.Sessions, err
}

// LastSession is the newest one of a job.
func (s *Site) LastSession(job string) (*keepwardv1.Session, error) {
	all, err := s.Sessions("--job", job)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("job %s has no session", job)
	}
	return s.Session(all[0].Id)
}

// Points of a computer, the newest first.
func (s *Site) Points(computer string) ([]*keepwardv1.Point, error) {
	m := &keepwardv1.ListPointsResponse{}
	err := s.Message(m, "point", "list", "--computer", computer)
	return m.Points, err
}

// Events are a session's log.
func (s *Site) Events(id int64) ([]*keepwardv1.Event, error) {
	m := &keepwardv1.ReadLogResponse{}
	return m.Events, s.Message(m, "session", "log", strconv.FormatInt(id, 10))
}

// final are the statuses that no session leaves.
var final = []string{"Completed", "Completed w/ warnings", "Completed w/ errors", "Committed", "Killed", "Failed", "Failed to start"}

// Final says whether a session has ended.
func Final(status string) bool { return slices.Contains(final, status) }

// WaitFinal waits until a session has ended.
func (s *Site) WaitFinal(id int64, within time.Duration) (*keepwardv1.Session, error) {
	var last *keepwardv1.Session
	err := Until(within, fmt.Sprintf("end of session %d", id), func() (bool, error) {
		v, err := s.Session(id)
		if err != nil {
			return false, err
		}
		last = v
		return Final(v.Status), nil
	})
	if err != nil && last != nil {
		err = fmt.Errorf("%w: it is %s, %s", err, last.Status, last.GetReason().GetText())
	}
	return last, err
}
