// Package signontest is a small provider of OpenID Connect for tests: discovery, keys, the page where
// people agree, and tokens, over TLS; it lies where a test has it lie.
package signontest

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Provider is one with one client. Its fields may be changed between two calls.
type Provider struct {
	*httptest.Server
	ClientID, Secret string
	Subject, Name    string // who agrees
	Lie              Lie

	mu      sync.Mutex
	key     *rsa.PrivateKey
	codes   map[string]url.Values // what each was asked for with
	Fetched int                   // of what it says of itself
	Written atomic.Int64          // bytes of that, where it is endless
}

// Lie is what it does not do as it should.
type Lie struct {
	Issuer    string                    // what it says it is
	Algorithm string                    // none, HS256 (by the client's secret), other (by a key that is not its own)
	Claims    func(c map[string]any)    // of the token
	Answer    func(q url.Values)        // to the browser
	Token     func(http.ResponseWriter) // in place of the tokens; false: as it should
	TokenURL  string
	Endless   bool // what it says of itself
}

// New starts one.
func New(t testing.TB) *Provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{ClientID: "keepward", Secret: "secret of the client", Subject: "4711", Name: "ann@example.com", key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

// CA is the certificate by which its own is checked, in PEM.
func (p *Provider) CA() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
}

// Tell changes it.
func (p *Provider) Tell(change func(p *Provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func tell(w http.ResponseWriter, what any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(what) // who went away need not know
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Fetched++
	if p.Lie.Endless {
		part := bytes.Repeat([]byte(" "), 1<<16)
		for {
			n, err := w.Write(part)
			if p.Written.Add(int64(n)); err != nil {
				return
			}
		}
	}
	issuer, token := p.URL, p.URL+"/token"
	if p.Lie.Issuer != "" {
		issuer = p.Lie.Issuer
	}
	if p.Lie.TokenURL != "" {
		token = p.Lie.TokenURL
	}
	tell(w, map[string]any{
		"issuer": issuer, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": token, "jwks_uri": p.URL + "/keys",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"}, "authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	tell(w, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "kid": "one", "use": "sig", "alg": "RS256", "n": encode(p.key.N.Bytes()), "e": encode(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

// authorize agrees at once.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	if q.Get("client_id") != p.ClientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "no such client, or not by a code", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.codes[code] = q
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if p.Lie.Answer != nil {
		p.Lie.Answer(answer)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Lie.Token != nil {
		p.Lie.Token(w)
		return
	}
	id, secret, _ := r.BasicAuth()
	if id == "" {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	} else if plain, err := url.QueryUnescape(secret); err == nil {
		secret = plain
	}
	asked, known := p.codes[r.PostFormValue("code")]
	delete(p.codes, r.PostFormValue("code"))
	proof := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if id != p.ClientID || secret != p.Secret || !known || asked.Get("redirect_uri") != r.PostFormValue("redirect_uri") || asked.Get("code_challenge") != encode(proof[:]) {
		w.WriteHeader(http.StatusBadRequest)
		tell(w, map[string]any{"error": "invalid_grant"})
		return
	}
	now := time.Now().Unix()
	claims := map[string]any{
		"iss": p.URL, "sub": p.Subject, "aud": p.ClientID, "exp": now + 300, "iat": now, "nonce": asked.Get("nonce"), "preferred_username": p.Name,
	}
	if p.Lie.Claims != nil {
		p.Lie.Claims(claims)
	}
	tell(w, map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": p.signed(claims)})
}

func (p *Provider) signed(claims map[string]any) string {
	algorithm := "RS256"
	if p.Lie.Algorithm == "none" || p.Lie.Algorithm == "HS256" {
		algorithm = p.Lie.Algorithm
	}
	head, _ := json.Marshal(map[string]any{"alg": algorithm, "kid": "one", "typ": "JWT"})
	body, _ := json.Marshal(claims)
	text := encode(head) + "." + encode(body)
	sum := sha256.Sum256([]byte(text))
	key := p.key
	switch p.Lie.Algorithm {
	case "none":
		return text + "."
	case "HS256":
		h := hmac.New(sha256.New, []byte(p.Secret))
		_, _ = h.Write([]byte(text))
		return text + "." + encode(h.Sum(nil))
	case "other":
		key, _ = rsa.GenerateKey(rand.Reader, 2048)
	}
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	return text + "." + encode(signature)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
