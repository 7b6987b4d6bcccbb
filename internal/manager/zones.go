package manager

import (
	"context"
	"maps"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/schedule"
)

// This file is schedules whose hours are those of each computer.

// zonePart is the share of a job whose computers have one zone.
type zonePart struct {
	schedule  schedule.Schedule
	computers []string // nil: all of the job
}

// partsOf splits a job by the zones of its computers, if its hours are theirs. A computer whose
// zone nobody knows has that of the server.
func partsOf(j *keepwardv1.Job, s schedule.Schedule, zones map[string]*time.Location) []zonePart {
	if !s.PerComputer() {
		return []zonePart{{schedule: s}}
	}
	parts := map[string]*zonePart{}
	for _, c := range j.GetComputers() {
		zone := zones[c]
		if zone == nil {
			zone = s.Zone()
		}
		if parts[zone.String()] == nil {
			parts[zone.String()] = &zonePart{schedule: s.In(zone)}
		}
		parts[zone.String()].computers = append(parts[zone.String()].computers, c)
	}
	if len(parts) == 0 {
		return []zonePart{{schedule: s}}
	}
	var out []zonePart
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		out = append(out, *parts[name])
	}
	if len(out) == 1 {
		out[0].computers = nil
	}
	return out
}

func (m *Manager) zonesFor(ctx context.Context, jobs []*keepwardv1.Job) (map[string]*time.Location, error) {
	return ZonesFor(ctx, m.deps.DB.Read(), jobs)
}

// ZonesFor are the zones of all computers, if the hours of one of the jobs are theirs.
func ZonesFor(ctx context.Context, q catalog.Queryer, jobs []*keepwardv1.Job) (map[string]*time.Location, error) {
	wanted := slices.ContainsFunc(jobs, func(j *keepwardv1.Job) bool {
		s, ok := scheduleOf(j)
		return ok && s.PerComputer()
	})
	if !wanted {
		return nil, nil
	}
	computers, err := catalog.Computers(ctx, q)
	if err != nil {
		return nil, err
	}
	known, out := map[string]*time.Location{}, map[string]*time.Location{}
	for _, c := range computers {
		zone, ok := known[c.Zone]
		if !ok {
			zone = locationOf(c.Zone)
			known[c.Zone] = zone
		}
		out[c.Name] = zone
	}
	return out, nil
}

// locationOf reads a zone as an agent says it; nil: it says none that is known here.
func locationOf(zone string) *time.Location {
	if zone == "" || zone == "Local" {
		return nil
	}
	if t, err := time.Parse("-07:00", zone); err == nil {
		_, offset := t.Zone()
		return time.FixedZone(zone, offset)
	}
	if z, err := time.LoadLocation(zone); err == nil {
		return z
	}
	return nil
}
