package script

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// What is kept of a script's output: enough of its beginning to see what it does, and of its end,
// where most scripts say why they gave up.
const (
	keepHead = 32 << 10
	keepTail = 8 << 10
	keepLine = 2 << 10
)

// output takes what a script prints and keeps a bounded part of it. It never refuses: a script
// must not end by a full pipe.
type output struct {
	mu    sync.Mutex
	head  []byte
	tail  []byte // at most twice keepTail
	total int64
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	o.total += int64(n)
	if room := keepHead - len(o.head); room > 0 {
		take := min(room, len(p))
		o.head = append(o.head, p[:take]...)
		p = p[take:]
	}
	if len(p) > keepTail {
		p = p[len(p)-keepTail:]
	}
	o.tail = append(o.tail, p...)
	if len(o.tail) > 2*keepTail {
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-keepTail:]...)
	}
	return n, nil
}

// result are the lines that are kept, and how many bytes are not.
func (o *output) result() (lines []string, leftOut int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	tail := o.tail[max(0, len(o.tail)-keepTail):]
	leftOut = o.total - int64(len(o.head)) - int64(len(tail))
	if leftOut == 0 {
		return split(append(bytes.Clone(o.head), tail...)), 0
	}
	lines = split(o.head)
	lines = append(lines, fmt.Sprintf("… %d bytes of output are left out …", leftOut))
	return append(lines, split(tail)...), leftOut
}

// split makes lines that can be shown: whole characters, no line too long, none empty at the end.
func split(text []byte) []string {
	var out []string
	for _, line := range strings.Split(strings.TrimRight(string(text), "\r\n\t "), "\n") {
		line = strings.ToValidUTF8(strings.TrimRight(line, "\r"), "\uFFFD")
		if len(line) > keepLine {
			line = strings.ToValidUTF8(line[:keepLine], "") + "…"
		}
		out = append(out, line)
	}
	if len(out) == 1 && out[0] == "" {
		return nil
	}
	return out
}
