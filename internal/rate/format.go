package rate

import (
	"fmt"
	"strings"
)

// Format writes bytes a second as the network counts them, such as 40Mbit/s.
func Format(bytes int64) string {
	bits := float64(bytes) * 8
	unit := "bit/s"
	for _, u := range []string{"kbit/s", "Mbit/s", "Gbit/s"} {
		if bits < 999.95 {
			break
		}
		bits, unit = bits/1000, u
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", bits), ".0") + unit
}
