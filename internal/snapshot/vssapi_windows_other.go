//go:build windows && !amd64

package snapshot

import "errors"

// vssSystem is not built for this processor: see vssapi_windows_amd64.go.
type vssSystem struct{}

func systemVSS() VSSService { return vssSystem{} }

func (vssSystem) Open() (VSSBackup, error) {
	return nil, unfit("shadow copies are built for amd64 only")
}

func (vssSystem) Readable(string) error { return errors.ErrUnsupported }
