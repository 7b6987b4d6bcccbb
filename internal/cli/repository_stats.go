package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	keepwardv1 "keepward/api/keepward/v1"
)

func (a *app) repositoryStats() *cobra.Command {
	return &cobra.Command{
		Use: "stats NAME", Short: "Show what is in a repository: by computer, job and day, with ratios",
		Long: `Shows what a repository holds beside what that was on the computers: how much deduplication and compression save, whose it is, how it grows, and how long ago its packs were proved.

Deduplication and compression are those of the sessions that made the points that there are. How much nothing needs any more is as the last sweep marked it; 'keepward repository sweep NAME --dry-run' marks anew.`,
		Example: "  keepward repository stats main", Args: exactly("NAME"), ValidArgsFunction: a.complete(repositoryNames),
		RunE: a.withClient(func(ctx context.Context, c *client, args []string) error {
			m, err := call(ctx, c.repositories.GetRepositoryStats, &keepwardv1.GetRepositoryStatsRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.print(m.GetStats(), func() { a.statsTables(m.GetStats()) })
		}),
	}
}

func (a *app) statsTables(s *keepwardv1.RepositoryStats) {
	r := s.GetRepository()
	marked := "not known: no sweep has marked yet"
	if s.GetMarked() != nil {
		marked = fmt.Sprintf("%s, as marked %s", size(s.GetDeadBytes()), a.stamp(s.GetMarked()))
	}
	a.fields(
		"repository", r.GetName(), "points", count(s.GetPoints()), "in them", size(s.GetLogicalBytes()),
		"on disk", size(r.GetSizeBytes()), "reduction", times(s.GetLogicalBytes(), r.GetSizeBytes()),
		"deduplication", times(s.GetLogicalBytes(), s.GetRawBytes()), "compression", times(s.GetRawBytes(), s.GetStoredBytes()),
		"needed by nothing", marked,
		"packs", fmt.Sprintf("%s, %s of them small", count(r.GetPacks()), count(s.GetSmallPacks())),
		"parity", fmt.Sprintf("%s, of %s packs", size(s.GetParityBytes()), count(s.GetParityPacks())),
		"index", fmt.Sprintf("%s rows in %s, %s", count(s.GetIndexRows()), plural(s.GetSegments(), "segment"), size(s.GetSegmentBytes())),
	)
	a.section("By computer")
	t := a.newTable("COMPUTER", ">POINTS", ">NEWEST", ">IN ALL POINTS", ">IN ITS PACKS", "|", ">PACKS")
	for _, c := range s.GetComputers() {
		name := c.GetComputer()
		if name == "" {
			name = "(no computer with points)"
		}
		t.row(name, count(c.GetPoints()), size(c.GetNewestBytes()), size(c.GetLogicalBytes()), size(c.GetPackBytes()), count(c.GetPacks()))
	}
	t.print()
	a.section("By job")
	t = a.newTable("JOB", ">POINTS", ">NEWEST", ">IN ALL POINTS", ">STORED")
	for _, j := range s.GetJobs() {
		t.row(j.GetJob(), count(j.GetPoints()), size(j.GetNewestBytes()), size(j.GetLogicalBytes()), known(j.GetStoredBytes()))
	}
	t.print()
	a.section("Growth, by the points of a day")
	t = a.newTable("DAY", ">POINTS", ">STORED")
	for _, d := range s.GetDays() {
		t.row(d.GetDay(), count(d.GetPoints()), known(d.GetStoredBytes()))
	}
	t.print()
	a.section("Proved")
	t = a.newTable("AGE", ">PACKS", ">SIZE")
	for _, p := range s.GetProofs() {
		t.row(proofAge(p), count(p.GetPacks()), size(p.GetBytes()))
	}
	t.print()
}

func proofAge(p *keepwardv1.ProofAge) string {
	const day = 24
	switch {
	case p.GetNever():
		return "never"
	case p.GetWithin() == nil:
		return "longer ago"
	}
	return "within " + strconv.Itoa(int(p.GetWithin().AsDuration().Hours())/day) + " d"
}

// known is a size that is nothing only where nobody knows it: the sessions of points that were
// read from a repository.
func known(n int64) string {
	if n == 0 {
		return "–"
	}
	return size(n)
}

// times is how many times a is b.
func times(a, b int64) string {
	if a <= 0 || b <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f×", float64(a)/float64(b))
}
