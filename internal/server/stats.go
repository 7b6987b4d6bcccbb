package server

import (
	"context"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/job"
	"keepward/internal/repo/seal"
)

// statDays is how far back growth is told day by day.
const statDays = 30

// GetRepositoryStats joins what the catalog knows of points with what lies in the repository.
func (s *repositoryService) GetRepositoryStats(ctx context.Context, req *connect.Request[keepwardv1.GetRepositoryStatsRequest]) (*connect.Response[keepwardv1.GetRepositoryStatsResponse], error) {
	row, err := catalog.GetRepository(ctx, s.db.Read(), req.Msg.GetName())
	if err != nil {
		return nil, err
	}
	client, online := s.nodes.Transport(row.Transport)
	if !online {
		return nil, offline("measure repository", row.Name, row.Transport)
	}
	now := time.Now()
	use, err := client.MeasureRepository(ctx, connect.NewRequest(&keepwardv1.MeasureRepositoryRequest{
		RepositoryPath: row.Path, RepositoryId: row.ID[:], Term: s.data.term.Load(), Time: timestamppb.New(now),
	}))
	if err != nil {
		return nil, err
	}
	points, err := catalog.Points(ctx, s.db.Read(), catalog.PointFilter{Repository: row.Name})
	if err != nil {
		return nil, err
	}
	master, err := s.data.keys.master(row)
	if err != nil {
		return nil, err
	}
	out := statsOf(points, use.Msg, master.ComputersKey(), now)
	out.Repository = s.repositoryMessage(s.repos.look(ctx, row))
	report, marked, err := catalog.LastReport(ctx, s.db.Read(), row.Name, string(job.Sweep))
	if err != nil {
		return nil, err
	}
	if r := report.GetSweep(); r != nil {
		out.LiveBytes, out.DeadBytes, out.Marked = r.GetLiveBytes(), r.GetDeadBytes(), timestamp(marked)
	}
	return connect.NewResponse(&keepwardv1.GetRepositoryStatsResponse{Stats: out}), nil
}

// statsOf adds up points, newest first, and the use of packs.
func statsOf(points []*keepwardv1.Point, use *keepwardv1.MeasureRepositoryResponse, key seal.ComputersKey, now time.Time) *keepwardv1.RepositoryStats {
	out := &keepwardv1.RepositoryStats{
		Proofs: use.GetAges(), SmallPacks: use.GetSmallPacks(), ParityPacks: use.GetParityPacks(), ParityBytes: use.GetParityBytes(), Segments: use.GetSegments(), SegmentBytes: use.GetSegmentBytes(), IndexRows: use.GetRows(),
	}
	computers, jobs, days := map[string]*keepwardv1.ComputerStats{}, map[string]*keepwardv1.JobStats{}, map[string]*keepwardv1.DayStats{}
	for _, p := range points {
		c := p.GetCounters()
		out.Points++
		out.LogicalFiles += c.GetDoneFiles()
		out.LogicalBytes += c.GetDoneBytes()
		out.RawBytes += c.GetStoredRawBytes()
		out.StoredBytes += c.GetStoredBytes()

		of := entry(computers, p.GetComputer())
		if of.Points == 0 {
			of.Computer, of.NewestBytes = p.GetComputer(), c.GetDoneBytes()
		}
		of.Points++
		of.LogicalBytes += c.GetDoneBytes()

		j := entry(jobs, p.GetJob())
		if j.Points == 0 {
			j.Job = p.GetJob()
		}
		j.Points++
		j.LogicalBytes += c.GetDoneBytes()
		j.StoredBytes += c.GetStoredBytes()

		if at := p.GetTime().AsTime(); now.Sub(at) < statDays*24*time.Hour {
			d := entry(days, at.Local().Format(time.DateOnly))
			d.Day = at.Local().Format(time.DateOnly)
			d.Points++
			d.StoredBytes += c.GetStoredBytes()
		}
	}
	newest(jobs, points)
	packs(computers, use, key)
	out.Computers = sorted(computers, func(a, b *keepwardv1.ComputerStats) int { return strings.Compare(a.Computer, b.Computer) })
	out.Jobs = sorted(jobs, func(a, b *keepwardv1.JobStats) int { return strings.Compare(a.Job, b.Job) })
	out.Days = sorted(days, func(a, b *keepwardv1.DayStats) int { return strings.Compare(a.Day, b.Day) })
	return out
}

// newest adds what the newest point of each computer holds to its job.
func newest(jobs map[string]*keepwardv1.JobStats, points []*keepwardv1.Point) {
	seen := map[[2]string]bool{}
	for _, p := range points {
		if k := [2]string{p.GetJob(), p.GetComputer()}; !seen[k] {
			seen[k] = true
			jobs[p.GetJob()].NewestBytes += p.GetCounters().GetDoneBytes()
		}
	}
}

// packs gives each computer what lies in the packs of its pseudonym. What is nobody's that is
// known goes to a row without a name.
func packs(computers map[string]*keepwardv1.ComputerStats, use *keepwardv1.MeasureRepositoryResponse, key seal.ComputersKey) {
	names := map[[16]byte]string{}
	for name := range computers {
		names[key.Owner(name)] = name
	}
	for _, o := range use.GetOwners() {
		var owner [16]byte
		copy(owner[:], o.GetOwner())
		c := entry(computers, names[owner])
		c.Packs += o.GetPacks()
		c.PackBytes += o.GetDataBytes() + o.GetMetadataBytes()
	}
}

func entry[T any](m map[string]*T, name string) *T {
	if m[name] == nil {
		m[name] = new(T)
	}
	return m[name]
}

func sorted[T any](m map[string]*T, cmp func(a, b *T) int) []*T {
	out := make([]*T, 0, len(m))
	for _, v := range m {
		out = append(out, v)
	}
	slices.SortFunc(out, cmp)
	return out
}
