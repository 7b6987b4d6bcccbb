package source

import (
	"errors"
	"unicode/utf8"
)

var (
	errGlobClass  = errors.New("a [ has no ]")
	errGlobEscape = errors.New(`it ends with a \`)
)

// checkGlob tells whether a pattern is well formed.
func checkGlob(p string) error {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			if i++; i == len(p) {
				return errGlobEscape
			}
		case '[':
			_, n, ok := matchClass([]byte(p[i:]), 0)
			if !ok {
				return errGlobClass
			}
			i += n - 1
		}
	}
	return nil
}

// globMatch matches one component: * any run, ? one character, [a-z] [!a-z] classes,
// \ takes the next character as it is. A byte that is not UTF-8 counts as a character.
// It takes time proportional to the product of the lengths at worst.
func globMatch(p, s []byte) bool {
	backP, backS := -1, 0
	i, j := 0, 0
	for {
		if i < len(p) && p[i] == '*' {
			i++
			backP, backS = i, j
			continue
		}
		if i == len(p) && j == len(s) {
			return true
		}
		if i < len(p) && j < len(s) {
			if pn, sn, ok := matchOne(p[i:], s[j:]); ok {
				i, j = i+pn, j+sn
				continue
			}
		}
		if backP < 0 || backS >= len(s) {
			return false
		}
		_, n := utf8.DecodeRune(s[backS:])
		backS += n
		i, j = backP, backS
	}
}

// matchOne matches one character of s with one element of p and answers their lengths.
func matchOne(p, s []byte) (pn, sn int, ok bool) {
	r, sn := utf8.DecodeRune(s)
	if r == utf8.RuneError && sn == 1 {
		r = -1 - rune(s[0]) // a byte on its own equals nothing but itself
	}
	switch p[0] {
	case '?':
		return 1, sn, true
	case '[':
		hit, pn, wellFormed := matchClass(p, r)
		return pn, sn, hit && wellFormed
	case '\\':
		if len(p) > 1 {
			c, n := classRune(p[1:])
			return 1 + n, sn, c == r
		}
	}
	c, n := classRune(p)
	return n, sn, c == r
}

func classRune(p []byte) (rune, int) {
	c, n := utf8.DecodeRune(p)
	if c == utf8.RuneError && n == 1 {
		return -1 - rune(p[0]), 1
	}
	return c, n
}

// matchClass matches r with the class at the start of p and answers the class's length;
// wellFormed is false when it has no end.
func matchClass(p []byte, r rune) (hit bool, n int, wellFormed bool) {
	i := 1
	negate := i < len(p) && (p[i] == '!' || p[i] == '^')
	if negate {
		i++
	}
	for first := true; i < len(p); first = false {
		if p[i] == ']' && !first {
			return hit != negate, i + 1, true
		}
		lo, size, ok := classElement(p[i:])
		if !ok {
			return false, 0, false
		}
		i += size
		hi := lo
		if i+1 < len(p) && p[i] == '-' && p[i+1] != ']' {
			if hi, size, ok = classElement(p[i+1:]); !ok {
				return false, 0, false
			}
			i += 1 + size
		}
		hit = hit || lo <= r && r <= hi
	}
	return false, 0, false
}

func classElement(p []byte) (c rune, n int, ok bool) {
	if p[0] != '\\' {
		c, n = classRune(p)
		return c, n, true
	}
	if len(p) < 2 {
		return 0, 0, false
	}
	c, n = classRune(p[1:])
	return c, n + 1, true
}
