package pipeline

// renew gets room for a file in work that has to read on: its own buffer again, once no chunk
// lies in it any more, or another one. Waiting for another one alone would not do: when every
// worker holds a buffer and wants a second, there is none left to give. While there is no
// room the caller seals what waits, because it may be what holds the room.
func (p *pool) renew(own *hold, n int, seal func(*job)) (*hold, error) {
	need := int64(bufferSize(n))
	p.mu.Lock()
	for p.err == nil {
		if own.users.Load() == 1 && len(own.buf) >= n {
			p.mu.Unlock()
			return own, nil
		}
		if p.free >= need {
			p.free -= need
			p.mu.Unlock()
			next := p.hold(n)
			return next, nil
		}
		if j := p.nextSealing(); j != nil {
			p.mu.Unlock()
			seal(j)
			p.mu.Lock()
			continue
		}
		p.changed.Wait()
	}
	defer p.mu.Unlock()
	return nil, p.err
}

func (w *worker) renew(own *hold, n int) (*hold, error) {
	defer w.seat.during(atRest)()
	return w.pool.renew(own, n, w.seal)
}

// spare gets a buffer of n bytes for a reader that keeps its other one, and may pass the
// budget by it: once the one it got before was given back, it waits no longer, since every
// worker may hold what the others wait for.
func (p *pool) spare(before *hold, n int, seal func(*job)) (*hold, error) {
	return p.roomFor(n, seal, func() bool { return before != nil && before.users.Load() > 0 })
}
