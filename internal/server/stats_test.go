package server

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/repo/seal"
)

func TestStatsAddUpByComputerJobAndDay(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	point := func(computer, job string, daysAgo int, logical, raw, stored int64) *keepwardv1.Point {
		return &keepwardv1.Point{
			Computer: computer, Job: job, Time: timestamppb.New(now.AddDate(0, 0, -daysAgo)),
			Counters: &keepwardv1.Counters{DoneFiles: 1, DoneBytes: logical, StoredRawBytes: raw, StoredBytes: stored},
		}
	}
	points := []*keepwardv1.Point{ // newest first
		point("web1", "docs", 0, 120, 20, 10),
		point("db1", "docs", 0, 70, 7, 5),
		point("web1", "docs", 1, 100, 100, 50),
		point("web1", "old", 40, 10, 10, 9),
	}
	key := seal.Master{Secret: seal.Secret{1}}.ComputersKey()
	web, gone := key.Owner("web1"), key.Owner("gone")
	use := &keepwardv1.MeasureRepositoryResponse{Owners: []*keepwardv1.OwnerUse{
		{Owner: web[:], Packs: 2, DataBytes: 60, MetadataBytes: 4}, {Owner: gone[:], Packs: 1, DataBytes: 8}, {Packs: 1, MetadataBytes: 1},
	}, SmallPacks: 3}
	want := &keepwardv1.RepositoryStats{
		Points: 4, LogicalFiles: 4, LogicalBytes: 300, RawBytes: 137, StoredBytes: 74, SmallPacks: 3,
		Computers: []*keepwardv1.ComputerStats{
			{Packs: 2, PackBytes: 9},
			{Computer: "db1", Points: 1, NewestBytes: 70, LogicalBytes: 70},
			{Computer: "web1", Points: 3, NewestBytes: 120, LogicalBytes: 230, Packs: 2, PackBytes: 64},
		},
		Jobs: []*keepwardv1.JobStats{
			{Job: "docs", Points: 3, NewestBytes: 190, LogicalBytes: 290, StoredBytes: 65},
			{Job: "old", Points: 1, NewestBytes: 10, LogicalBytes: 10, StoredBytes: 9},
		},
		Days: []*keepwardv1.DayStats{{Day: "2026-11-21", Points: 1, StoredBytes: 50}, {Day: "2026-11-22", Points: 2, StoredBytes: 15}},
	}
	if diff := cmp.Diff(want, statsOf(points, use, key, now), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}
