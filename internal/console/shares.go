package console

import (
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// share is a part of a whole.
type share struct {
	class, name string
	percent, at int // at: what lies before it
}

// shareBar is parts of a whole, drawn as a bar.
type shareBar struct {
	of     string // whose they are, where there are several bars
	says   string // all of it in words, for who does not see it
	shares []share
}

// add puts a part behind the others, as far as there is room; one that is nothing is left out.
func (b *shareBar) add(class, name string, percent int) {
	at := 0
	if n := len(b.shares); n > 0 {
		at = b.shares[n-1].at + b.shares[n-1].percent
	}
	if percent = min(max(percent, 0), 100-at); percent > 0 {
		b.shares = append(b.shares, share{class: class, name: name, percent: percent, at: at})
	}
}

// proofAge is how old a proof is, in words.
func proofAge(a *keepwardv1.ProofAge) string {
	switch {
	case a.GetNever():
		return "never"
	case a.GetWithin() == nil:
		return "longer ago"
	}
	return "within " + words.FormatDuration(a.GetWithin().AsDuration())
}

// proofBar is how much of a repository was proved how long ago, from the youngest proof to what never was.
func proofBar(ages []*keepwardv1.ProofAge) (b shareBar, ok bool) {
	classes := []string{"proved-1", "proved-2", "proved-3", "proved-4"}
	var all, before int64
	for _, a := range ages {
		all += a.GetBytes()
	}
	if all <= 0 {
		return b, false
	}
	b.says = "Proved:"
	for i, a := range ages {
		class := classes[min(i, len(classes)-1)]
		switch {
		case a.GetNever():
			class = "proved-never"
		case a.GetWithin() == nil:
			class = "proved-old"
		}
		// Each begins where those before it end, so that all of them together are the whole.
		from := percentOf(before, all)
		before += a.GetBytes()
		percent := percentOf(before, all) - from
		b.add(class, proofAge(a), percent)
		if a.GetBytes() > 0 {
			b.says += fmt.Sprintf(" %s %d %%,", proofAge(a), percent)
		}
	}
	b.says = b.says[:len(b.says)-1]
	return b, true
}

// percentOf is n of all, rounded down; all is more than 0.
func percentOf(n, all int64) int { return int(float64(n) / float64(all) * 100) }
