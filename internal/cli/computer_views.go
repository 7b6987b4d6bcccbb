package cli

import (
	"fmt"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
)

// computerViews are the views of computers that need somebody's attention.
var computerViews = []string{"offline", "out-of-date", "untrusted", "unprotected"}

// showInventory shows what a computer is, as it said when it was asked last.
func (a *app) showInventory(i *keepwardv1.Inventory) {
	if i == nil {
		return
	}
	a.section("Inventory of " + a.stamp(i.GetTaken()))
	memory, processors := "", ""
	if i.GetMemoryBytes() > 0 {
		memory = size(i.GetMemoryBytes())
	}
	if i.GetProcessors() > 0 {
		processors = fmt.Sprint(i.GetProcessors())
	}
	a.fields("system", i.GetSystem(), "kernel", i.GetKernel(), "processors", processors, "memory", memory,
		"addresses", strings.Join(i.GetAddresses(), ", "), "agent", i.GetAgentVersion())
	if len(i.GetVolumes()) == 0 {
		return
	}
	t := a.newTable("MOUNT", "TYPE", "SIZE", "FREE", "|", "DEVICE", "READ ONLY")
	for _, v := range i.GetVolumes() {
		whole, free := "", ""
		if v.GetSizeBytes() > 0 {
			whole, free = size(v.GetSizeBytes()), size(v.GetFreeBytes())
		}
		t.row(v.GetMount(), v.GetType(), whole, free, v.GetDevice(), onlyYes(v.GetReadOnly()))
	}
	t.print()
	if more := i.GetMoreVolumes(); more > 0 {
		a.remark("and %d more", more)
	}
}

// viewText is how many computers are in the views that have any.
func viewText(list []*keepwardv1.ViewCount) string {
	var texts []string
	for _, v := range list {
		if v.GetComputers() > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", v.GetComputers(), v.GetView()))
		}
	}
	return strings.Join(texts, ", ")
}
