package test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

// largeFile writes a file that does not compress.
func largeFile(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{byte(size >> 20)}), size)
	return errors.Join(err, f.Close())
}

// resumed has a checkpoint every second, in a file that takes a quarter of a minute over the slow
// line, and is larger than what an agent has in memory and on the way.
var resumed = pace{checkpoint: "1s", size: 320 << 20, mbit: 170, noticed: 3 * time.Minute}

// A backup that is suspended in the middle of one large file, and whose agent is killed there,
// goes on there each time: what was kept is not read and not sent again.
func TestABackupGoesOnInTheMiddleOfALargeFile(t *testing.T) {
	goesOnInTheMiddle(newSpread(t, resumed))
}

// The same at the default pace: a GiB is sent before the first checkpoint.
func TestABackupGoesOnInTheMiddleOfAVeryLargeFile(t *testing.T) {
	if os.Getenv("KEEPWARD_LONG") == "" {
		leaveOut(t, "takes minutes, and 8 GB: set KEEPWARD_LONG=1")
	}
	goesOnInTheMiddle(newSpread(t, pace{size: 2600 << 20, mbit: 800, noticed: 10 * time.Minute}))
}

func goesOnInTheMiddle(f *spread) {
	f.must(f.net.Slow("web1", f.mbit))
	id := f.start("docs")
	f.logs(id, "checkpoint.made", 1)
	f.do("session", "suspend", itoa(int(id)))
	f.was(id, "Suspended")
	s, err := f.Session(id)
	f.must(err)
	first := s.GetProgress().GetCounters()
	f.do("session", "resume", itoa(int(id)))
	f.logs(id, "file.resumed", 1)
	f.logs(id, "checkpoint.made", 2)
	second := f.counters(id)
	f.agent["web1"].Kill()
	f.must(f.net.Slow("web1", 0))
	f.must(f.agent["web1"].Start())
	f.logs(id, "file.resumed", 2)
	s = f.ended(id)
	third := s.GetProgress().GetCounters()
	f.t.Logf("of %d MiB read %d, then about %d, then %d, of them %d again; sent %d, then about %d, then %d, of them %d again", f.size>>20,
		first.GetReadBytes()>>20, second.GetReadBytes()>>20, third.GetReadBytes()>>20, third.GetRereadBytes()>>20,
		first.GetSentBytes()>>20, second.GetSentBytes()>>20, third.GetSentBytes()>>20, third.GetResentBytes()>>20)

	if third.GetReadBytes() >= f.size { // how much less depends on when a checkpoint was due
		f.t.Errorf("the third attempt read %d of %d bytes", third.GetReadBytes(), f.size)
	}
	// Beside the GiB of each, what is in memory and on its way when a checkpoint begins.
	const most = 2 * (1<<30 + 256<<20)
	if again := third.GetRereadBytes(); again < first.GetRereadBytes() || again == 0 || again > most {
		f.t.Errorf("%d bytes were read again", again)
	}
	// Of the second attempt the last second is not in its counters.
	if sent := first.GetSentBytes() + second.GetSentBytes() + third.GetSentBytes(); sent > f.size+third.GetResentBytes()+64<<20 {
		f.t.Errorf("%d bytes were sent of %d, %d are said to be sent again", sent, f.size, third.GetResentBytes())
	}
	r := f.do("session", "show", itoa(int(id)))
	if !strings.Contains(r.Stdout, "read again") {
		f.t.Errorf("it does not say what was read again:\n%s", r.Stdout)
	}
	f.onePoint(s)
}
