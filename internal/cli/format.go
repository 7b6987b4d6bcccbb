package cli

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// What internal/words writes, under the short names of this package.
func safe(s string) string                  { return words.Safe(s) }
func size(n int64) string                   { return words.Size(n) }
func count(n int64) string                  { return words.Count(n) }
func plural(n int64, thing string) string   { return words.Plural(n, thing) }
func entries(all, dirs int64) string        { return words.Entries(all, dirs) }
func span(d time.Duration) string           { return words.Span(d) }
func few(names []string) string             { return words.Few(names) }
func limitedBy(l *keepwardv1.Limits) string { return words.LimitedBy(l) }
func through(n *keepwardv1.Counters) int64  { return words.Through(n) }

// stamp shows a time in the zone of the user, empty when there is none.
func (a *app) stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(a.local).Format("2006-01-02 15:04:05")
}

// took is the time between two moments, to now while the second is missing.
func (a *app) took(from, to *timestamppb.Timestamp) string {
	if from == nil {
		return ""
	}
	end := a.now()
	if to != nil {
		end = to.AsTime()
	}
	return span(end.Sub(from.AsTime()))
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}
