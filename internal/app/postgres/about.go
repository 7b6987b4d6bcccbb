package postgres

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
)

// about describes an instance in its point, for who brings it back.
type about struct {
	Kind          string            `json:"kind"`
	Version       string            `json:"version"`
	VersionNumber int               `json:"version_number"`
	System        string            `json:"system_identifier"`
	Superuser     string            `json:"superuser"`
	SegmentSize   uint64            `json:"wal_segment_size"`
	Settings      map[string]string `json:"settings"`
	Config        []string          `json:"configuration_files"`
	Tablespaces   []tablespace      `json:"tablespaces,omitempty"`
	// Started, Marked and Ended are by the server's clock. The log of the point has all that was
	// committed before Marked, and its files need nothing that was after Ended.
	Started  time.Time `json:"started"`
	Marked   time.Time `json:"marked"`
	Ended    time.Time `json:"ended"`
	StartLSN string    `json:"start_lsn"`
	StopLSN  string    `json:"stop_lsn"`
	Timeline uint32    `json:"timeline"`
	// First, Start and Stop are the numbers of segments of the log: what is in the point begins with
	// First, what the point needs with Start.
	First uint64 `json:"first_segment"`
	Start uint64 `json:"start_segment"`
	Stop  uint64 `json:"stop_segment"`
}

type tablespace struct {
	OID  string `json:"oid"`
	Name string `json:"name"`
	Path string `json:"path"`
}

const (
	labelFile = "backup_label"
	mapFile   = "tablespace_map"
	walDir    = "wal"
	// signalFile has a server recover as it is told, and not as after a crash.
	signalFile = "recovery" + ".signal"
)

// readAbout reads what was laid down in dir.
func readAbout(dir string) (*about, error) {
	a := &about{}
	if err := app.ReadAbout(dir, "PostgreSQL", a); err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		return nil, app.Unbelievable("PostgreSQL", err)
	}
	return a, nil
}

const (
	// A server's segments have from one megabyte to one gigabyte.
	segmentLeast, segmentMost = 1 << 20, 1 << 30
)

var oidForm = regexp.MustCompile(`^[0-9]{1,10}$`)

// check refuses what would name files outside of what was laid down, or cannot be counted with.
func (a *about) check() error {
	if s := a.SegmentSize; s < segmentLeast || s > segmentMost || s&(s-1) != 0 {
		return fmt.Errorf("a segment of its log has %d bytes", s)
	}
	for _, t := range a.Tablespaces {
		if !oidForm.MatchString(t.OID) {
			return fmt.Errorf("the tablespace %s has the number %q", t.Name, t.OID)
		}
	}
	return nil
}

// lsn is a position in the log.
func lsn(text string) (uint64, error) {
	var hi, lo uint32
	if _, err := fmt.Sscanf(text, "%X/%X", &hi, &lo); err != nil {
		return 0, errs.New(errs.Corrupt, "application.failed", "PostgreSQL: %q is no position in the log", text)
	}
	return uint64(hi)<<32 | uint64(lo), nil
}

// segment is the number of the segment that a position lies in; that of an end is the one before it.
func (a *about) segment(position string, end bool) (uint64, error) {
	at, err := lsn(position)
	if end && at > 0 {
		at--
	}
	return at / a.SegmentSize, err
}

var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

// segmentOf is the timeline and the number of a file of the log.
func (a *about) segmentOf(name string) (timeline uint32, number uint64, ok bool) {
	if !segmentName.MatchString(name) {
		return 0, 0, false
	}
	part := func(from int) uint64 {
		n, _ := strconv.ParseUint(name[from:from+8], 16, 32) // the name is hex
		return n
	}
	return uint32(part(0)), part(8)*(1<<32/a.SegmentSize) + part(16), true
}

// file is the name of a segment.
func (a *about) file(timeline uint32, number uint64) string {
	per := uint64(1<<32) / a.SegmentSize
	return fmt.Sprintf("%08X%08X%08X", timeline, number/per, number%per)
}
