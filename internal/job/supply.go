package job

import (
	"fmt"
	"strconv"
	"strings"
)

// What a job does while its computers are to be spared. The texts are kept and shown.
const (
	SupplyRun  = "run"
	SupplyWait = "wait"
)

// OnlyMains is a least charge that no battery has.
const OnlyMains = 101

// LeastCharge reads what a job does while its computer runs on a battery: run, wait, or a charge as
// "30%", down to which it runs. The answer is in percent; 0: it runs, OnlyMains: it waits.
func LeastCharge(text string) (int, error) {
	switch text {
	case SupplyRun, "":
		return 0, nil
	case SupplyWait:
		return OnlyMains, nil
	}
	number, ok := strings.CutSuffix(text, "%")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("on_battery must be run, wait, or a charge such as 30%%, not %q", text)
	}
	return n, nil
}

// ChargeNeeded is what a job waits for by its least charge.
func ChargeNeeded(least int) string {
	if least >= OnlyMains {
		return "mains"
	}
	return "mains or " + strconv.Itoa(least) + " %"
}
