package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// tokenCookie holds the token of a login. Its prefix has the browser take it over TLS only, for
// this host and all its paths; no script sees it, and no other site's page sends it along.
const tokenCookie = "__Host-keepward"

func tokenOf(r *http.Request) (string, bool) {
	c, err := r.Cookie(tokenCookie)
	if err != nil || c.Value == "" {
		return "", false
	}
	return c.Value, true
}

// setToken gives the browser a token until it is closed; the token itself ends earlier or later.
func setToken(w http.ResponseWriter, token string) {
	http.SetCookie(w, &http.Cookie{Name: tokenCookie, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

func clearToken(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: tokenCookie, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
}

// toLogin sends a browser to the login, from where it comes back. What a script of a page asks
// for is refused instead: the script knows what to do.
func (c *console) toLogin(w http.ResponseWriter, r *http.Request, why string) {
	if r.Header.Get("HX-Request") != "" {
		http.Error(w, "log in again", http.StatusUnauthorized)
		return
	}
	next := ""
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		next = r.URL.RequestURI()
	}
	http.Redirect(w, r, link("/login", "next", next, "why", why), http.StatusSeeOther)
}

// remarks are what the login page can be asked to say.
var remarks = map[string]string{
	"expired": "The login has ended, or its token was revoked. Log in again.",
	"out":     "You are logged out.",
	"kept":    "You are logged out in this browser. The login itself could not be ended: see keepward login list.",
}

// loginForm is what the login page shows.
type loginForm struct {
	user, next, remark string
	origin             string // where passkeys work; empty: there are none
	provider           string // of single sign-on; empty: there is none
	problem            *problem
}

func (c *console) showLogin(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	c.answerLogin(w, r, http.StatusOK, loginForm{user: "admin", next: localPath(q.Get("next")), remark: remarks[q.Get("why")]})
}

func (c *console) answerLogin(w http.ResponseWriter, r *http.Request, status int, f loginForm) {
	v := c.view(r)
	v.title = "Log in"
	ctx := as(r.Context(), caller{address: r.RemoteAddr})
	keys, keysErr := call(ctx, c.client.passkeys.GetPasskeyChallenge, &keepwardv1.GetPasskeyChallengeRequest{})
	by, byErr := call(ctx, c.client.signOns.GetSignOn, &keepwardv1.GetSignOnRequest{})
	if err := errors.Join(keysErr, byErr); err != nil { // the password will do
		c.log.Warn("login page with passwords only", "peer", r.RemoteAddr, "error", err)
	}
	f.origin, f.provider = keys.GetOrigin(), words.Safe(by.GetName())
	c.show(w, r, status, loginPage(v, f))
}

func (c *console) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	f := loginForm{user: r.PostForm.Get("user"), next: localPath(r.PostForm.Get("next"))}
	ctx := as(r.Context(), caller{address: r.RemoteAddr})
	m, err := call(ctx, c.client.access.Login, &keepwardv1.LoginRequest{User: f.user, Password: r.PostForm.Get("password"), Code: r.PostForm.Get("code")})
	c.loggedIn(w, r, f, m, err)
}

// loggedIn lets the browser in, or shows the login page again with what was wrong.
func (c *console) loggedIn(w http.ResponseWriter, r *http.Request, f loginForm, m *keepwardv1.LoginResponse, err error) {
	if err != nil {
		f.problem = problemOf(c.view(r), err)
		status := statusOf(err)
		if errs.KindOf(err) == errs.Denied {
			status = http.StatusUnauthorized
		}
		c.answerLogin(w, r, status, f)
		return
	}
	setToken(w, m.GetToken())
	http.Redirect(w, r, f.next, http.StatusSeeOther)
}

// logout ends the token, and takes it from the browser. One that cannot be ended now is gone from
// the browser all the same, and ends by itself.
func (c *console) logout(w http.ResponseWriter, r *http.Request) {
	why := "out"
	if token, ok := tokenOf(r); ok {
		if err := c.endToken(as(r.Context(), caller{token: token, address: r.RemoteAddr})); err != nil && errs.KindOf(err) != errs.Denied {
			c.log.Warn("login not ended", "peer", r.RemoteAddr, "error", err)
			why = "kept"
		}
	}
	clearToken(w)
	http.Redirect(w, r, link("/login", "why", why), http.StatusSeeOther)
}

func (c *console) endToken(ctx context.Context) error {
	m, err := call(ctx, c.client.users.GetCaller, &keepwardv1.GetCallerRequest{})
	if err != nil {
		return err
	}
	_, err = call(ctx, c.client.tokens.RevokeAPIToken, &keepwardv1.RevokeAPITokenRequest{Id: m.GetToken().GetId()})
	return err
}

// localPath is a path of this console to go to; anything else becomes the first page.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}
