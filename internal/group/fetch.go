package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"keepward/internal/errs"
)

const (
	// FileLimit bounds the reading of a file: it may lie on a file system that hangs.
	FileLimit = 10 * time.Second
	// DefaultLimit bounds a command or a URL where the group says nothing; MostLimit what it may say.
	DefaultLimit = time.Minute
	MostLimit    = 10 * time.Minute

	redirectsMost = 5
)

// FileState is what of a file changes when its content does, without reading it.
func FileState(info os.FileInfo) string {
	return fmt.Sprintf("%d/%d", info.Size(), info.ModTime().UnixNano())
}

// ReadFile reads a list from a file, unless it is as it was when had was its state. It may hang as
// long as the file system does.
func ReadFile(name, had string) (names []string, state string, err error) {
	bad := func(err error) error {
		return errs.New(errs.KindOf(err), "group.file", "read group file: %w", err).WithHint("the last good list holds; keepward group rescan reads it again")
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, "", bad(err)
	}
	if state = FileState(info); state == had {
		return nil, state, nil
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, state, bad(fmt.Errorf("%s is no file", name))
	case info.Size() > fileMost:
		return nil, state, bad(fmt.Errorf("%s has more than %d bytes", name, fileMost))
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, state, bad(err)
	}
	defer func() { _ = f.Close() }()
	content, err := io.ReadAll(io.LimitReader(f, fileMost+1))
	if err == nil && len(content) > fileMost {
		err = fmt.Errorf("%s has more than %d bytes", name, fileMost)
	}
	if err != nil {
		return nil, state, bad(err)
	}
	names, err = ParseFile(name, content)
	return names, state, err
}

// CheckURL says what is wrong with where a list shall be fetched from; nil: nothing.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return errors.New("it is no URL")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return errors.New("it must begin with https://, or http:// where nobody can listen or answer in its place")
	case u.User != nil:
		return errors.New("it must have no password in it: it is shown and exported; let a command fetch the list")
	}
	return nil
}

// Fetch reads a list of cloud machines from a URL.
func Fetch(ctx context.Context, from string, limit time.Duration) ([]string, error) {
	if limit <= 0 {
		limit = DefaultLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	content, err := get(ctx, from)
	if err != nil {
		return nil, errs.New(errs.Unavailable, "group.cloud", "fetch list of cloud machines: %w", plain(err)).WithHint("the last good list holds; keepward group rescan tries again")
	}
	return ParseCloud(content)
}

// plain is an error of net/http without the URL, which may carry a secret in its query.
func plain(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func get(ctx context.Context, from string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	client := &http.Client{CheckRedirect: followed, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answered %s", res.Status)
	}
	content, err := io.ReadAll(io.LimitReader(res.Body, cloudMost+1))
	return content, err
}

// followed says why a redirection is not; nil: it is.
func followed(to *http.Request, via []*http.Request) error {
	if len(via) > redirectsMost {
		return errors.New("it leads from one place to another without end")
	}
	if to.URL.Scheme != "https" && (to.URL.Scheme != "http" || via[len(via)-1].URL.Scheme != "http") {
		return errors.New("it leads away from https")
	}
	return nil
}

// Buffer takes what a command prints, as much of it as a list may have and one byte more. It never
// refuses: a command must not end by a full pipe.
type Buffer struct{ content []byte }

func (b *Buffer) Write(p []byte) (int, error) {
	if room := cloudMost + 1 - len(b.content); room > 0 {
		b.content = append(b.content, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// Bytes are what was printed.
func (b *Buffer) Bytes() []byte { return b.content }
