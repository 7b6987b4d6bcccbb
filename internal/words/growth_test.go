package words

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

func TestGrowth(t *testing.T) {
	for want, g := range map[[2]string]*keepwardv1.Growth{
		{"not known yet", ""}:                       nil,
		{"none over 30 days", ""}:                   {Days: 30},
		{"2.00 KiB a day over 3 days", ""}:          {Days: 3, BytesADay: 2048},
		{"2.00 KiB a day over 1 day", "2027-03-01"}: {Days: 1, BytesADay: 2048, FullAbout: timestamppb.New(time.Date(2027, 3, 1, 23, 0, 0, 0, time.UTC))},
	} {
		if got := [2]string{Growth(g), FullAbout(g)}; got != want {
			t.Errorf("%v: %q, want %q", g, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 2048: "+2.00 KiB", -2048: "-2.00 KiB"} {
		if got := Change(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
