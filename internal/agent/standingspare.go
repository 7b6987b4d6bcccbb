package agent

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/power"
)

// This file is the computer being spared by the jobs that its agent manages: what the server's gate does
// for its own by what heartbeats say, the agent does by what it sees.

const (
	// supplyLook is how often it is looked how the computer is supplied, while that matters to a run: as
	// often as a server hears it.
	supplyLook = 15 * time.Second
	// letGoAfter is how long a run that goes on bears it: each time it lets go costs an attempt, and
	// plugs are pulled to be put in elsewhere.
	letGoAfter = time.Minute
	// codeSpared is why such a run ended.
	codeSpared = "agent.spared"
)

// minds tells whether it matters to a run that is due, or goes on, how the computer is supplied; mu
// must be held.
func (st *standing) minds() bool {
	for _, j := range st.state.GetJobs() {
		p := st.policy(j)
		// What waits for a rule that is no more must be looked at as well.
		if (j.GetDue() != nil || j.GetRunning() != "") && (p.GetLeastCharge() > 0 || p.GetUnmetered()) || j.GetWaits() != nil {
			return true
		}
	}
	return false
}

// spare notes which runs have to wait for mains or another network. It answers how to end one that goes
// on and has borne it for long enough; nil: there is none. Ending it takes locks of the agent's.
func (st *standing) spare(now power.State, at time.Time) (letGo func()) {
	st.mu.Lock()
	defer st.mu.Unlock()
	changed := false
	for _, j := range st.state.GetJobs() {
		why, what := sparing(st.policy(j), now), "a run that is due"
		if j.GetDue() == nil && j.GetRunning() == "" {
			why = job.Reason{}
		}
		if j.GetRunning() != "" {
			what = "a run that goes on"
		}
		before := j.GetWaits()
		switch {
		case why.Code == "" && before == nil:
			continue
		case why.Code == "":
			st.log.Info("the computer need not be spared any more", "job", j.GetJob())
			j.Waits, changed = nil, true
			continue
		case before.GetCode() != string(why.Code):
			st.log.Info("the computer is to be spared", "job", j.GetJob(), "by", what, "why", why.Text())
			j.Waits, changed = &keepwardv1.AgentWait{Code: string(why.Code), Text: why.Text(), Since: timestamppb.New(at)}, true
		}
		since := j.GetWaits().GetSince().AsTime()
		if since.After(at) { // the clock was set back
			j.Waits.Since, since, changed = timestamppb.New(at), at, true
		}
		if attempt := j.GetRunning(); attempt != "" && at.Sub(since) >= letGoAfter {
			letGo = func() {
				st.runner.stop(attempt, errs.New(errs.Busy, codeSpared, "attempt %s lets go: %s", attempt, why.Text()).
					WithHint("the agent goes on with it by itself, from where it is"))
			}
		}
	}
	if changed {
		st.keep()
	}
	return letGo
}

// sparing is why a policy's run does not begin as the computer is supplied now; zero: it does.
func sparing(p *keepwardv1.AgentPolicy, now power.State) job.Reason {
	switch {
	case now.Battery && now.Charge < int(p.GetLeastCharge()):
		return job.Because(job.OnBattery, p.GetBackup().GetComputer(), job.ChargeNeeded(int(p.GetLeastCharge())))
	case now.Metered && p.GetUnmetered():
		return job.Because(job.MeteredNetwork, p.GetBackup().GetComputer())
	}
	return job.Reason{}
}
