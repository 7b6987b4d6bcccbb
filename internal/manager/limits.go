package manager

import keepwardv1 "keepward/api/keepward/v1"

// limits says what held a backup up, or those of a session together, from the counters of all its parts; nil
// where nothing was measured. The agent cannot tell a slow network from a slow target, the
// mover can: it was at work at most while the target was what the agent waited for.
func limits(c *keepwardv1.Counters) *keepwardv1.Limits {
	storing := min(c.GetLimitSendMillis(), c.GetStoreMillis())
	held := [4]int64{
		c.GetLimitSourceMillis(), c.GetLimitCpuMillis(),
		c.GetLimitSendMillis() - storing, c.GetLimitTargetMillis() + storing,
	}
	p, ok := percent(held)
	if !ok {
		return nil
	}
	return &keepwardv1.Limits{Source: p[0], Cpu: p[1], Network: p[2], Target: p[3]}
}

// percent makes shares of 100 that are 100 together: what rounding loses goes to those that
// lost the most.
func percent(parts [4]int64) (shares [4]int32, ok bool) {
	total := int64(0)
	for _, v := range parts {
		total += v
	}
	if total <= 0 {
		return shares, false
	}
	left := int32(100)
	var rest [4]int64
	for i, v := range parts {
		shares[i], rest[i] = int32(v*100/total), v*100%total
		left -= shares[i]
	}
	for ; left > 0; left-- {
		most := 0
		for i := range rest {
			if rest[i] > rest[most] {
				most = i
			}
		}
		shares[most]++
		rest[most] = -1
	}
	return shares, true
}
