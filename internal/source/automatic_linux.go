package source

import (
	"os"
	"strings"
)

// activeSwap are the files that the system swaps to.
func activeSwap() []string {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return nil // then there is no swap that it could tell of
	}
	return parseSwaps(string(b))
}

// parseSwaps reads proc_swaps(5): a line of headings, then a name, a type and more.
func parseSwaps(text string) (files []string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[1] != "file" || !strings.HasPrefix(f[0], "/") {
			continue
		}
		name := unoctal(f[0])
		if strings.ContainsRune(name, 0) || strings.HasSuffix(name, "/") {
			continue
		}
		files = append(files, strings.TrimSuffix(name, " (deleted)"))
	}
	return files
}

// unoctal puts back the characters that /proc writes as \ and three octal digits.
func unoctal(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(c byte) bool { return c >= '0' && c <= '7' }
