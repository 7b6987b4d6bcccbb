package config

import (
	"time"

	"keepward/internal/words"
)

const day = 24 * time.Hour

// ParseDuration reads a duration as people write it: "90s", "20m", "1h30m", "7d", "1d12h".
func ParseDuration(text string) (time.Duration, error) { return words.ParseDuration(text) }

// FormatDuration writes a duration so that ParseDuration reads it back, and people too.
func FormatDuration(d time.Duration) string { return words.FormatDuration(d) }
