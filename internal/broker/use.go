package broker

// Use is how much of a resource is held.
type Use struct {
	Name           string
	Used, Capacity int
}

// Use is that of the resources of a kind. Unlike Snapshot it looks at no waiter: it may be asked
// often while many wait.
func (b *Broker) Use(kind Kind) []Use {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Use
	for id, r := range b.resources {
		if id.Kind == kind && r.Capacity != removed {
			out = append(out, Use{Name: r.label(), Used: r.used, Capacity: r.Capacity})
		}
	}
	return out
}
