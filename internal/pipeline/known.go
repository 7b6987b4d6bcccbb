package pipeline

import "keepward/internal/repo/seal"

// knownSet remembers the chunks of this attempt, the newest surely, so that a content that
// repeats is asked for once.
type knownSet struct{ young, old map[seal.H]struct{} }

// knownLimit bounds the memory of each of two generations to some MiB.
const knownLimit = 1 << 16

// all tells whether nothing was forgotten.
func (k *knownSet) all() bool { return k.old == nil }

// add answers false if h is known.
func (k *knownSet) add(h seal.H) bool {
	if _, ok := k.young[h]; ok {
		return false
	}
	if _, ok := k.old[h]; ok {
		return false
	}
	if len(k.young) >= knownLimit {
		k.old, k.young = k.young, nil
	}
	if k.young == nil {
		k.young = make(map[seal.H]struct{})
	}
	k.young[h] = struct{}{}
	return true
}
