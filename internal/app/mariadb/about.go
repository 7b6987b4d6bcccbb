package mariadb

import (
	"regexp"
	"time"

	"keepward/internal/app"
)

// about describes an instance in its point, for who brings it back.
type about struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
	// Series is what a server and its files have to have in common: 10.11 of 10.11.6.
	Series string `json:"series"`
	Data   string `json:"data_directory"`
	// Copy: the files are what mariadb-backup made, and have to be prepared. Else they are those of
	// one moment, of which a server recovers as after a crash.
	Copy     bool              `json:"copy"`
	Settings map[string]string `json:"settings"`
	Config   []string          `json:"configuration_files,omitempty"`
	// State and Marked are by the server's clock. The files need nothing that was after State, and
	// the logs of the point have all that was committed before Marked.
	State  time.Time `json:"state"`
	Marked time.Time `json:"marked"`
	// File and Position are where the log goes on from the state of the files; Logs are those that
	// the point has. No file: the server writes none, or the job keeps none.
	File     string   `json:"log_file,omitempty"`
	Position uint64   `json:"log_position,omitempty"`
	Logs     []string `json:"logs,omitempty"`
}

// logDir has the binary logs, below more.
const logDir = "binlog"

// readAbout reads what was laid down in dir.
func readAbout(dir string) (*about, error) {
	a := &about{}
	if err := app.ReadAbout(dir, "MariaDB", a); err != nil {
		return nil, err
	}
	return a, nil
}

var numbers = regexp.MustCompile(`^(\d+\.\d+)\.\d+`)

// seriesOf is the series of a version; empty: it is none.
func seriesOf(version string) string {
	if m := numbers.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return ""
}
