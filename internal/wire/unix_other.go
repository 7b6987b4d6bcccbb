//go:build !linux

package wire

func shortSocket(path string) (short string, done func(), err error) {
	return path, func() {}, nil
}
