package words

import "testing"

func TestDaysAreLetters(t *testing.T) {
	if got := DayLetters([]string{"success", "warning", "partial", "failed", "", "of a newer server"}); got != "+wpF.?" {
		t.Errorf("they are %q", got)
	}
	if got := DayResultOf("\x1b[31m"); got.Label != `\x1b[31m` {
		t.Errorf("a result that nobody knows is %q", got.Label)
	}
}
