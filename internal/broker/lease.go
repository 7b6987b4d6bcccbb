package broker

import (
	"maps"
	"slices"
)

// Holders names the tasks that hold a set, in order.
func (b *Broker) Holders() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.grants))
}
