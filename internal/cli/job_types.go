package cli

import (
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
)

// savedTypes are the types that a saved job may be of, as a list.
func savedTypes() string {
	names := make([]string, len(job.Saved))
	for i, t := range job.Saved {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// jobNeeds are the flags without which there is no job of a type; others: it takes more than files.
func jobNeeds(j *keepwardv1.Job, others bool) []string {
	needs := []string{"repository"}
	if j.GetType() != string(job.Backup) {
		return needs
	}
	if len(j.GetGroups()) == 0 {
		needs = append(needs, "computer")
	}
	if !others {
		needs = append(needs, "include")
	}
	return needs
}

// jobCheckFlags say how far the check of a job of type verify goes.
type jobCheckFlags struct {
	want          keepwardv1.CheckSelection
	budget, older duration
}

func (c *jobCheckFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&c.want.ReadData, "read-data", false, "type verify: read and re-hash data, not only the structure")
	f.Int32Var(&c.want.SamplePercent, "sample-percent", 0, "type verify: read only so much of all, what was proved longest ago first (0: all)")
	f.Var(&c.budget, "budget", "type verify: stop after so long")
	f.Var(&c.older, "older-than", "type verify: read only what was not proved for so long")
}

// apply puts what was written into the check of a job, which may be nil.
func (c *jobCheckFlags) apply(f *pflag.FlagSet, to *keepwardv1.CheckSelection) *keepwardv1.CheckSelection {
	out := proto.CloneOf(to)
	if out == nil {
		out = &keepwardv1.CheckSelection{}
	}
	for name, set := range map[string]func(){
		"read-data":      func() { out.ReadData = c.want.ReadData },
		"sample-percent": func() { out.SamplePercent = c.want.SamplePercent },
		"budget":         func() { out.Budget = orUnset(c.budget) },
		"older-than":     func() { out.OlderThan = orUnset(c.older) },
	} {
		if f.Changed(name) {
			set()
		}
	}
	if proto.Equal(out, &keepwardv1.CheckSelection{}) {
		return nil
	}
	return out
}

// orUnset is a duration that is not set where it is zero.
func orUnset(d duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(time.Duration(d))
}

// checkText says how far the check of a job goes; empty: it has none.
func checkText(j *keepwardv1.Job) string {
	if j.GetType() != string(job.Verify) {
		return ""
	}
	c := j.GetCheck()
	if !c.GetReadData() {
		return "the structure"
	}
	text := "all data"
	if n := c.GetSamplePercent(); n > 0 {
		text = strconv.Itoa(int(n)) + "% of all data"
	}
	if c.GetOlderThan() != nil {
		text += ", not proved for " + span(c.GetOlderThan().AsDuration())
	}
	if c.GetBudget() != nil {
		text += ", for " + span(c.GetBudget().AsDuration()) + " at most"
	}
	return text
}
