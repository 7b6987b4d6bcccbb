package catalog

import (
	"context"
	"database/sql"
	"testing"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// With a computer or a group go the rules that were for it alone, and no others.
func TestForgetLevel(t *testing.T) {
	for _, c := range []struct {
		level string
		left  string // names of windows, whom they concern
	}{
		{"computer/web1", "both:0+1 group:0+1 mixed:1+1 other:1+0"},
		{"group/lab", "both:1+0 mixed:2+0 one:1+0 other:1+0"},
		{"repository/web1", "both:1+1 group:0+1 mixed:2+1 one:1+0 other:1+0"},
	} {
		t.Run(c.level, func(t *testing.T) {
			db := openTest(t)
			now := time.Now()
			windows := []*keepwardv1.Window{
				{Name: "both", Computers: []string{"web1"}, Groups: []string{"lab"}},
				{Name: "group", Groups: []string{"lab"}},
				{Name: "mixed", Computers: []string{"web1", "web2"}, Groups: []string{"lab"}},
				{Name: "one", Computers: []string{"web1"}},
				{Name: "other", Computers: []string{"web2"}},
			}
			err := db.Write(t.Context(), func(tx *sql.Tx) error {
				ctx := context.Background()
				for _, w := range windows {
					if err := PutWindow(ctx, tx, w, now); err != nil {
						return err
					}
				}
				for _, l := range []string{c.level, "computer/web9"} {
					if err := SetSessionLimit(ctx, tx, l, 3); err != nil {
						return err
					}
					if err := DisableActivity(ctx, tx, Disabled{Level: l, Activity: "copy", Since: now}); err != nil {
						return err
					}
				}
				return ForgetLevel(ctx, tx, c.level, now)
			})
			if err != nil {
				t.Fatal(err)
			}
			list, err := Windows(t.Context(), db.Read())
			if err != nil {
				t.Fatal(err)
			}
			left := ""
			for _, w := range list {
				if left != "" {
					left += " "
				}
				left += w.Name + ":" + string(rune('0'+len(w.Computers))) + "+" + string(rune('0'+len(w.Groups)))
			}
			if left != c.left {
				t.Errorf("left are %s, want %s", left, c.left)
			}
			limits, err := SessionLimits(t.Context(), db.Read())
			if err != nil || len(limits) != 1 || limits["computer/web9"] != 3 {
				t.Errorf("limits are %v (%v)", limits, err)
			}
			off, err := DisabledActivities(t.Context(), db.Read(), now)
			if err != nil || len(off) != 1 || off[0].Level != "computer/web9" {
				t.Errorf("switched off is %v (%v)", off, err)
			}
		})
	}
}
