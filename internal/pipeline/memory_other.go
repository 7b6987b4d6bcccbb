//go:build !unix

package pipeline

func allocate(n int) []byte { return make([]byte, n) }

func giveBack([]byte) {}
