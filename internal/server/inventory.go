package server

import (
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
)

// Bounds of what is kept of an inventory: an agent may say anything.
const (
	addressesMost = 64
	volumesMost   = 256
	textMost      = 512
)

// boundInventory cuts what an agent says of its computer down to what is kept.
func boundInventory(i *keepwardv1.Inventory) {
	if more := len(i.Addresses) - addressesMost; more > 0 {
		i.Addresses, i.MoreAddresses = i.Addresses[:addressesMost], i.MoreAddresses+int32(more)
	}
	if more := len(i.Volumes) - volumesMost; more > 0 {
		i.Volumes, i.MoreVolumes = i.Volumes[:volumesMost], i.MoreVolumes+int32(more)
	}
	texts := []*string{&i.System, &i.Kernel, &i.Os, &i.Arch, &i.Hostname, &i.AgentVersion}
	for n := range i.Addresses {
		texts = append(texts, &i.Addresses[n])
	}
	for _, v := range i.Volumes {
		texts = append(texts, &v.Mount, &v.Type, &v.Device)
		v.SizeBytes, v.FreeBytes = max(v.SizeBytes, 0), max(v.FreeBytes, 0)
	}
	for _, t := range texts {
		if len(*t) > textMost {
			*t = strings.ToValidUTF8((*t)[:textMost], "") + "…"
		}
	}
	i.Processors, i.MemoryBytes = max(i.Processors, 0), max(i.MemoryBytes, 0)
	i.MoreAddresses, i.MoreVolumes = max(i.MoreAddresses, 0), max(i.MoreVolumes, 0)
}
