package mount

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// chunk names a chunk and what it must be.
type chunk struct {
	kind seal.Kind
	h    seal.H
}

// maxAsked is how many records are asked for at once: enough to hide a round trip.
const maxAsked = 16

// reader opens the chunks of one repository. Any number of goroutines may use it.
type reader struct {
	store   Store
	keys    *seal.Keys
	state   *outage
	nodes   *cache
	data    *cache
	openers sync.Pool     // of *seal.Opener
	ahead   chan struct{} // one token for each fetch ahead that may be under way

	ctx context.Context // of the mount: fetches outlive who asked for them
	wg  *sync.WaitGroup
}

// get waits for some chunks, which belong to a point.
func (r *reader) get(ctx context.Context, c *cache, point string, asked []chunk) ([]*slot, error) {
	slots, mine := c.want(point, asked)
	r.fetch(c, point, mine)
	for i, s := range slots {
		for tries := 0; ; tries++ {
			select {
			case <-s.ready:
			case <-ctx.Done():
				return nil, context.Canceled
			}
			if s.err == nil {
				break
			}
			// Somebody else's fetch may have failed for a reason of its own: that its point is gone.
			if s.point == point || !isGone(s.err) || tries > 2 {
				return nil, s.err
			}
			again, mine := c.want(point, asked[i:i+1])
			r.fetch(c, point, mine)
			s = again[0]
		}
		slots[i] = s
	}
	return slots, nil
}

// prefetch has chunks fetched that may be wanted soon, if not too many are on their way.
func (r *reader) prefetch(point string, asked []chunk) {
	select {
	case r.ahead <- struct{}{}:
	default:
		return
	}
	_, mine := r.data.want(point, asked)
	r.wg.Go(func() {
		defer func() { <-r.ahead }()
		r.fill(r.data, point, mine)
	})
}

// fetch fills slots beside the caller.
func (r *reader) fetch(c *cache, point string, mine []*slot) {
	for len(mine) > 0 {
		some := mine[:min(len(mine), maxAsked)]
		mine = mine[len(some):]
		r.wg.Go(func() { r.fill(c, point, some) })
	}
}

// fill fetches and opens chunks. All slots are filled when it returns.
func (r *reader) fill(c *cache, point string, mine []*slot) {
	left := mine
	err := r.state.try(r.ctx, func(ctx context.Context) error {
		ids := make([]seal.ID, len(left))
		for i, s := range left {
			ids[i] = s.h.ID()
		}
		got := make([]bool, len(left))
		err := r.store.Records(ctx, point, ids, func(i int, record []byte, err error) {
			if got[i] {
				return
			}
			got[i] = true
			content, bundle := []byte(nil), seal.Bundle{}
			if err == nil {
				content, bundle, err = r.open(left[i], record)
			}
			c.fill(left[i], content, bundle, err)
		})
		var missing []*slot
		for i, s := range left {
			if !got[i] {
				missing = append(missing, s)
			}
		}
		if left = missing; len(left) == 0 {
			return nil
		}
		if err == nil {
			err = errs.New(errs.Unavailable, "chunk.unanswered", "read chunk %s: there was no answer", left[0].h.ID())
		}
		return err
	})
	for _, s := range left {
		c.fill(s, nil, seal.Bundle{}, err)
	}
}

// open decrypts a record and compares it with its hash.
func (r *reader) open(s *slot, record []byte) (content []byte, bundle seal.Bundle, err error) {
	rec, err := seal.ParseRecord(record)
	if err != nil {
		return nil, bundle, err
	}
	if rec.Kind != s.kind {
		return nil, bundle, errs.New(errs.Corrupt, "chunk.kind", "open chunk %s: it is a %s, not a %s", rec.ID, rec.Kind, s.kind)
	}
	o, _ := r.openers.Get().(*seal.Opener)
	if o == nil {
		if o, err = seal.NewOpener(r.keys); err != nil {
			return nil, bundle, err
		}
	}
	defer r.openers.Put(o)
	if content, err = o.Open(nil, &rec, s.h); err != nil {
		return nil, bundle, err
	}
	if s.kind == seal.KindBundle {
		bundle, err = seal.ParseBundle(content)
	}
	return content, bundle, err
}

// of is a reader of index nodes for one point: a fileindex.Fetcher.
type nodesOf struct {
	r     *reader
	point string
}

func (n nodesOf) Fetch(ctx context.Context, kind seal.Kind, hs []seal.H) ([][]byte, error) {
	asked := make([]chunk, len(hs))
	for i, h := range hs {
		asked[i] = chunk{kind, h}
	}
	slots, err := n.r.get(ctx, n.r.nodes, n.point, asked)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(hs))
	for i, s := range slots {
		out[i] = s.content // nobody writes into it
	}
	return out, nil
}

// isGone tells whether an error says that the point is no longer there.
func isGone(err error) bool {
	return errs.KindOf(err) == errs.NotFound && strings.HasPrefix(errs.CodeOf(err), "point.")
}

// outage knows whether the store can be reached, and how long to wait for it.
type outage struct {
	patience time.Duration
	tell     func(string)

	mu   sync.Mutex
	away bool
}

// try calls fn until it succeeds, or fails in a way that trying again does not help, or patience
// ends. It has none while the store is known to be away.
func (o *outage) try(ctx context.Context, fn func(context.Context) error) error {
	began, pause := time.Now(), 100*time.Millisecond
	for {
		once, cancel := context.WithTimeout(ctx, storeTimeout)
		err := fn(once)
		late := once.Err() != nil && ctx.Err() == nil
		cancel()
		if late && err != nil {
			err = errs.New(errs.Unavailable, "mount.timeout", "there was no answer within %s: %w", storeTimeout, err)
		}
		if !temporary(err) {
			if ctx.Err() == nil {
				o.back()
			}
			return err
		}
		if time.Since(began)+pause > o.patience || o.isAway() {
			o.gone(err)
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, 2*time.Second)
	}
}

// temporary tells whether an error may pass by itself.
func temporary(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	kind := errs.KindOf(err)
	return kind == errs.Unavailable || kind == errs.Busy
}

func (o *outage) isAway() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away
}

func (o *outage) gone(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.away {
		o.away = true
		o.tell("nothing can be read for now: " + err.Error())
	}
}

func (o *outage) back() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		o.away = false
		o.tell("reading works again")
	}
}
