package wire

import (
	"net"
	"testing"
	"time"
)

func TestAPeerThatTakesNothingIsCutOff(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	f := local(here, timing{ping: time.Hour, dead: time.Hour}, Identity{})
	for range 2 * maxQueued {
		f.send(outFrame{header: header{kind: kindPong}})
	}
	if len(f.queue) > maxQueued {
		t.Errorf("%d frames wait", len(f.queue))
	}
	if _, err := here.Write([]byte{0}); err == nil {
		t.Error("the connection still stands")
	}
}
