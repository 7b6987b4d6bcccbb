package server

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/manager"
)

// A process of an agent names itself by a random boot id, new at each start. So a node that comes
// back under a boot id after another one was heard of has two processes with one certificate: a
// machine was cloned with its key. Of a single return the network may be the cause, which delivers
// late; two are not.
const (
	twinReturns = 2
	// twinShown is how long after the last return it is said: the clone may be switched off by then.
	twinShown = time.Hour
	// bootsKept bounds what is remembered of one node, awayKept how many names are that others wanted,
	// and awayShown how long.
	bootsKept = 8
	awayKept  = 100
	awayShown = 24 * time.Hour
)

// boot is a process of a node, and where it called from.
type boot struct{ id, address, host string }

// nodeBoots are the processes of one node, the one that was heard of last at the end.
type nodeBoots struct {
	list    []boot
	returns int
	since   time.Time // of the first return
	latest  time.Time
	between [2]boot
}

// twins notes what shows that two machines go by one name. It is not kept over a start of the server:
// two that still run are noticed again.
type twins struct {
	mu    sync.Mutex
	nodes map[manager.Node]*nodeBoots
	away  map[string]turned // by name
}

// turned is a machine that was turned away since its name is taken.
type turned struct {
	address string
	first   time.Time
	last    time.Time
}

// came notes the first heartbeat of a link.
func (t *twins) came(n manager.Node, b boot, now time.Time) {
	if b.id == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.nodes == nil {
		t.nodes = map[manager.Node]*nodeBoots{}
	}
	of := t.nodes[n]
	if of == nil {
		of = &nodeBoots{}
		t.nodes[n] = of
	}
	i := slices.IndexFunc(of.list, func(o boot) bool { return o.id == b.id })
	if last := len(of.list) - 1; i >= 0 && i < last {
		if now.Sub(of.latest) > twinShown {
			of.returns, of.since = 0, now
		}
		of.returns++
		of.latest, of.between = now, [2]boot{of.list[last], b}
	}
	if i >= 0 {
		of.list = slices.Delete(of.list, i, i+1)
	}
	of.list = append(of.list, b)
	of.list = of.list[max(0, len(of.list)-bootsKept):]
}

// turnedAway notes a machine that wanted to join under the name of another.
func (t *twins) turnedAway(name, address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away == nil {
		t.away = map[string]turned{}
	}
	maps.DeleteFunc(t.away, func(_ string, a turned) bool { return now.Sub(a.last) > awayShown })
	a, had := t.away[name]
	if !had && len(t.away) >= awayKept {
		return
	}
	if !had {
		a.first = now
	}
	a.address, a.last = address, now
	t.away[name] = a
}

// forget drops what is noted of a node, which has got another certificate or is gone.
func (t *twins) forget(n manager.Node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.nodes, n)
	delete(t.away, n.Name)
}

// conditions are what is noted of a computer.
func (t *twins) conditions(name string, now time.Time) []*keepwardv1.Condition {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*keepwardv1.Condition
	if of := t.nodes[agentNode(name)]; of != nil && of.returns >= twinReturns && now.Sub(of.latest) <= twinShown {
		a, b := of.between[0], of.between[1]
		out = append(out, &keepwardv1.Condition{
			Code: "computer.cloned", Severity: severityError, Subject: name,
			Text:  fmt.Sprintf("two machines take turns as %s with one certificate: %s at %s and %s at %s", name, a.host, a.address, b.host, b.address),
			Hint:  fmt.Sprintf("stop the agent on the copy, delete its data directory there, and let it join under a name of its own; then give this one a new certificate: keepward token create --role agent --name %s", name),
			Since: timestamp(of.since),
		})
	}
	if a, ok := t.away[name]; ok && now.Sub(a.last) <= awayShown {
		out = append(out, &keepwardv1.Condition{
			Code: "computer.name-taken", Severity: severityWarning, Subject: name,
			Text:  fmt.Sprintf("a machine at %s wanted to join as %s with a group's token, and there is one of that name", a.address, name),
			Hint:  fmt.Sprintf("start it with another --name; if it is the same computer, installed anew: keepward token create --role agent --name %s", name),
			Since: timestamp(a.first),
		})
	}
	return out
}
