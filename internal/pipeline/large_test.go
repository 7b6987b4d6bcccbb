package pipeline

import (
	"fmt"
	"testing"
)

// Together the readers could hold all the memory, each wanting one buffer more.
func TestManyLargeFilesShareTheMemory(t *testing.T) {
	s := newSite(t)
	content := noise(1, 20<<20)
	for i := range 9 {
		content[0] = byte(i)
		s.write(fmt.Sprintf("f%d", i), content)
	}
	s.opts.Workers = maxWorkers
	_, res := s.backup("")
	s.same(res)
}
