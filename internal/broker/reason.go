package broker

import (
	"strconv"
	"strings"

	"keepward/internal/job"
)

// namedMost is how many sessions a reason names.
const namedMost = 8

// reason puts into words why a need cannot be had.
func (v *view) reason(n Need) job.Reason {
	var up []*resource
	exist := 0
	for _, name := range n.AnyOf {
		if r := v.resources[ID{n.Kind, name}]; r.there() {
			up = append(up, r)
			exist += r.Capacity
		}
	}
	switch {
	case n.Kind == Drive && exist < n.Count:
		return v.fewDrives(n, exist)
	case len(up) == 0:
		return v.offline(n)
	case n.Kind == Drive && len(n.AnyOf) > 1:
		return v.busyDrives(n, up)
	}
	r := up[0]
	have := max(0, r.Capacity-v.used(r))
	if have >= n.count(r) && r.alone == 0 {
		if c := v.claimed(r, n.count(r)); c != nil {
			return job.Because(job.KeptForSession, r.label(), number(c.Session))
		}
	}
	code := kinds[n.Kind].short
	if n.Alone || r.alone > 0 {
		code, have = kinds[n.Kind].alone, 0
	}
	return r.because(code, n.count(r), have)
}

// because gives the arguments that the code's row has.
func (r *resource) because(code job.Code, need, have int) job.Reason {
	row, _ := code.Row()
	args := make([]string, 0, len(row.Args))
	for _, name := range row.Args {
		switch name {
		case "need":
			args = append(args, strconv.Itoa(need))
		case "have":
			args = append(args, strconv.Itoa(have))
		case "limit":
			args = append(args, strconv.Itoa(r.Capacity))
		case "sessions", job.Holders:
			args = append(args, numbers(r.sessions()))
		default:
			args = append(args, r.label())
		}
	}
	return job.Because(code, args...)
}

// offline is why none of a need's resources is there.
func (v *view) offline(n Need) job.Reason {
	name := ""
	for i, one := range n.AnyOf {
		r := v.resources[ID{n.Kind, one}]
		if r != nil && r.Down != nil {
			return *r.Down
		}
		if i == 0 {
			if name = one; r != nil {
				name = r.label()
			}
		}
	}
	return job.Because(kinds[n.Kind].offline, name)
}

// fewDrives is why drives are not enough, however few of them are in use.
func (v *view) fewDrives(n Need, up int) job.Reason {
	all := 0
	for _, name := range n.AnyOf {
		if r := v.resources[ID{Drive, name}]; r != nil && r.Capacity > 0 {
			all += r.Capacity
		}
	}
	if all >= n.Count && len(n.AnyOf) > 1 { // they exist, but not all of them can be used now
		return job.Because(job.NoGoodDrives, n.Group)
	}
	if all >= n.Count {
		return v.offline(n)
	}
	group := n.Group
	if group == "" && len(n.AnyOf) > 0 {
		group = n.AnyOf[0]
	}
	return job.Because(job.NotEnoughDrives, group, strconv.Itoa(n.Count), strconv.Itoa(up))
}

func (v *view) busyDrives(n Need, up []*resource) job.Reason {
	have := 0
	for _, r := range up {
		have += max(0, r.Capacity-v.used(r))
	}
	if have == 0 {
		return job.Because(job.NoFreeDrives, n.Group)
	}
	return job.Because(job.PoolDrivesBusy, n.Group, strconv.Itoa(n.Count), strconv.Itoa(have))
}

func number(session int64) string { return strconv.FormatInt(session, 10) }

// numbers lists sessions for people.
func numbers(list []int64) string {
	var text []string
	for _, n := range list[:min(len(list), namedMost)] {
		text = append(text, number(n))
	}
	if more := len(list) - namedMost; more > 0 {
		text = append(text, "and "+strconv.Itoa(more)+" more")
	}
	return strings.Join(text, ", ")
}
