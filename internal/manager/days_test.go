package manager

import (
	"slices"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

func TestABackupMakesItsDayAndTheDayGoesWithItsTime(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		today := func() []string {
			t.Helper()
			res, err := w.m.ListProtectionDays(t.Context(), &keepwardv1.ListProtectionDaysRequest{Computer: "web1", Days: 2})
			if err != nil || len(res.GetComputers()) != 1 {
				t.Fatalf("%v (%v)", res, err)
			}
			if hole := res.GetComputers()[0].GetHoleDays(); hole != 0 {
				t.Errorf("a day that is not over is a hole: %d", hole)
			}
			return res.GetComputers()[0].GetResults()
		}
		w.run()
		if got := today(); !slices.Equal(got, []string{"", ""}) {
			t.Errorf("while it runs: %q", got)
		}
		w.finish("web1")
		if got := today(); !slices.Equal(got, []string{"", "success"}) {
			t.Errorf("once it is over: %q", got)
		}
		for _, tt := range []struct {
			days int
			want int64
		}{{catalog.ProtectionKept, 0}, {catalog.ProtectionKept + 1, 1}, {catalog.ProtectionKept + 1, 0}} {
			if n, err := w.m.forgetDays(t.Context(), time.Now().AddDate(0, 0, tt.days)); err != nil || n != tt.want {
				t.Errorf("after %d days %d rows are forgotten (%v), want %d", tt.days, n, err, tt.want)
			}
		}
	})
}
