package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"keepward/internal/errs"
)

// The headers of a webhook.
const (
	HeaderEvent     = "Keepward-Event"     // the id of the event
	HeaderKind      = "Keepward-Kind"      // of the event
	HeaderTimestamp = "Keepward-Timestamp" // of this try, in seconds since 1970 UTC
	HeaderSignature = "Keepward-Signature" // v1= and the HMAC in hex
)

// Sign is the signature of a body that is sent at a moment: HMAC-SHA256 by the secret over the
// timestamp in decimal, a dot and the body.
func Sign(secret string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.", at.Unix())
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Webhook posts messages as JSON. What is not answered with 2xx has not arrived.
type Webhook struct {
	URL, Secret, CA string
	Now             func() time.Time
}

// payload is the event, and what a rule's templates made of it.
type payload struct {
	Event
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// CheckURL refuses what is not a place to post to.
func CheckURL(text string, plain bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errs.New(errs.Invalid, "notify.url", "read the URL of the webhook: it is not https://HOST/PATH")
	case u.User != nil:
		return errs.New(errs.Invalid, "notify.url", "read the URL of the webhook: it holds a user; requests are signed instead")
	case u.Scheme == "http" && !plain:
		return errs.New(errs.Invalid, "notify.plain", "read the URL of the webhook: over plain http everybody on the way can read it").
			WithHint("use https, or say that it is meant with --plain")
	}
	return nil
}

// Roots are the certificates of a PEM text; nil for the empty one: those of the system.
func Roots(text string) (*x509.CertPool, error) {
	if text == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, errs.New(errs.Invalid, "notify.ca", "read the certificates that the other side is trusted by: there is none in PEM")
	}
	return pool, nil
}

// Send posts one message.
func (w Webhook) Send(ctx context.Context, m Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sendMost)
	defer cancel()
	body, err := json.Marshal(payload{m.Event, m.Subject, m.Body})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return "", errors.New("post to the webhook: its URL cannot be read")
	}
	roots, err := Roots(w.CA)
	if err != nil {
		return "", err
	}
	at := w.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "keepward")
	req.Header.Set(HeaderEvent, m.Event.ID)
	req.Header.Set(HeaderKind, m.Event.Kind)
	req.Header.Set(HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(HeaderSignature, Sign(w.Secret, at, body))
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a signed message goes where it was addressed to and nowhere else
	}}
	res, err := client.Do(req)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the URL, which may hold a secret of its own
		}
		return "", fmt.Errorf("post to the webhook: %s", shown(err.Error()))
	}
	text, readErr := io.ReadAll(io.LimitReader(res.Body, answerMost))
	_ = res.Body.Close() // what it said is read
	answer := shown(res.Status + " " + string(text))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return answer, fmt.Errorf("post to the webhook: it answered %s", answer)
	}
	if readErr != nil {
		return answer, fmt.Errorf("post to the webhook: its answer broke off after %s", shown(res.Status))
	}
	return answer, nil
}
