package gentle

import (
	"runtime"
	"testing"
)

func TestAsManyProcessorsAsTheWorkMayTake(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	var p Pace
	step := func(what string, want int) {
		t.Helper()
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("%s: %d processors, want %d", what, got, want)
		}
	}
	free := p.Begin(Work{})
	step("no bound", 4)
	one := p.Begin(Work{Processors: 1})
	step("one bound beside one without", 4)
	free()
	step("one bound", 1)
	two := p.Begin(Work{Processors: 2})
	step("two bounds", 3)
	many := p.Begin(Work{Processors: 100})
	step("more than there are", 4)
	many()
	many() // once more: nothing
	one()
	step("the second", 2)
	free = p.Begin(Work{})
	step("a restore beside it", 4)
	two()
	free()
	step("nothing", 4)
}
