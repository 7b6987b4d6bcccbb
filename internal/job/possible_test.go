package job

import "testing"

// What can be saved can be had: a repository has at least one stream and one writer, a computer one
// slot, and no type whose work is there wants more of one of them than that, or anything else. Of
// libraries nothing can be saved yet; who wants more drives than exist waits with NOT_ENOUGH_DRIVES.
func TestNoTypeThatCanBeSavedWantsWhatCanNeverBeHad(t *testing.T) {
	type line struct {
		kind Kind
		side Side
	}
	for _, r := range Types {
		if !r.Implemented {
			continue
		}
		wanted := map[line]int{}
		needs := r.Type.Needs()
		for _, n := range append(append([]Need{}, needs.A...), needs.B...) {
			if n.On == Tape {
				continue
			}
			wanted[line{n.Kind, n.Side}] += n.Count
			switch n.Kind {
			case KindStream, KindWriter, KindClient:
			default:
				t.Errorf("%s wants %s on a disk, of which nothing can be saved", r.Type, n.Kind)
			}
		}
		for l, count := range wanted {
			if count > 1 {
				t.Errorf("%s wants %d of %s: a repository may have only one", r.Type, count, l.kind)
			}
		}
	}
}
