package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"log/slog"
	"net/http"
	"time"

	"github.com/a-h/templ"

	"keepward/internal/errs"
)

// formMost bounds what a form may send: a job with thousands of computers names each.
const formMost = 1 << 20

// policy lets a page load what the server serves and nothing else: no script or style in the
// page, no frame around it, nowhere to send its forms to.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Config is what a console needs.
type Config struct {
	// API answers the calls; the console makes no other use of the server.
	API http.Handler
	// Contents opens what points hold, for previews and downloads; nil: there are none.
	Contents Contents
	// May tells whether a role may make a call, by its procedure: what it may not is not offered. nil: all
	// is. The API decides in any case.
	May     func(role, procedure string) bool
	Version string
	Log     *slog.Logger
}

type console struct {
	client   *client
	contents Contents
	may      func(role, procedure string) bool
	version  string
	log      *slog.Logger
}

// New makes the console's handler. It wants to be served over TLS: its cookies are for that only.
func New(cfg Config) http.Handler {
	c := &console{client: newClient(cfg.API), contents: cfg.Contents, may: cfg.May, version: cfg.Version, log: cfg.Log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /assets/{name}", serveAsset)
	mux.HandleFunc("GET /login", c.showLogin)
	mux.HandleFunc("POST /login", c.login)
	mux.HandleFunc("POST /login/passkey/begin", c.askPasskey)
	mux.HandleFunc("POST /login/passkey", c.loginByPasskey)
	mux.HandleFunc("GET /login/sign-on", c.signOn)
	mux.HandleFunc("GET /login/sign-on/back", c.signOnBack)
	mux.HandleFunc("POST /logout", c.logout)
	for pattern, p := range map[string]page{
		"GET /{$}":                     c.overview,
		"GET /overview":                c.overviewPart,
		"GET /overview/days":           c.worstPart,
		"GET /overview/hours":          c.hoursPart,
		"GET /computers/days":          c.computerDays,
		"GET /sessions":                c.sessionList,
		"GET /sessions/live":           c.sessionListLive,
		"GET /sessions/waits":          c.waits,
		"GET /sessions/waits/live":     c.waitsLive,
		"GET /sessions/do":             c.askMany,
		"POST /sessions/do":            c.doMany,
		"GET /sessions/{id}":           c.session,
		"GET /sessions/{id}/live":      c.sessionLive,
		"GET /sessions/{id}/log":       c.sessionLog,
		"GET /sessions/{id}/speed":     c.sessionSpeed,
		"GET /sessions/{id}/file":      c.logFile,
		"GET /sessions/{id}/{act}":     c.askAct,
		"POST /sessions/{id}/{act}":    c.doAct,
		"GET /jobs":                    c.jobList,
		"GET /jobs/part":               c.jobListPart,
		"GET /jobs/show":               c.job,
		"GET /jobs/show/part":          c.jobPart,
		"GET /jobs/yaml":               c.jobYAML,
		"GET /jobs/file":               c.jobFile,
		"GET /jobs/do/{act}":           c.askJobAct,
		"POST /jobs/do/{act}":          c.doJobAct,
		"GET /jobs/new":                c.openWizard(draftNew),
		"GET /jobs/edit":               c.openWizard(draftEdit),
		"GET /jobs/clone":              c.openWizard(draftClone),
		"POST /jobs/wizard":            c.doWizard,
		"POST /jobs/wizard/check":      c.checkWizard,
		"POST /jobs/wizard/look":       c.lookWizard,
		"GET /jobs/run":                c.askRun,
		"POST /jobs/run":               c.doRun,
		"GET /computers":               c.computerList,
		"GET /repositories":            c.repositoryList,
		"GET /points":                  c.pointList,
		"GET /restore":                 c.restoreStart,
		"GET /restore/points":          c.restorePoints,
		"GET /restore/browse":          c.restoreBrowse,
		"GET /restore/find":            c.restoreFind,
		"GET /restore/versions":        c.restoreVersions,
		"GET /restore/preview":         c.preview,
		"GET /restore/picture":         c.picture,
		"GET /restore/content":         c.download,
		"GET /restore/to":              c.askRestore,
		"POST /restore/to":             c.doRestore,
		"GET /restore/estimate/{id}":   c.estimateLive,
		"GET /restore/archive":         c.archive,
		"GET /computers/show":          c.computerPage,
		"GET /groups":                  c.groupList,
		"GET /groups/show":             c.groupPage,
		"GET /tokens":                  c.joinTokenList,
		"GET /updates":                 c.updateList,
		"GET /updates/show":            c.rolloutPage,
		"GET /repositories/show":       c.repositoryPage,
		"GET /resources":               c.resourceList,
		"GET /traffic":                 c.trafficList,
		"GET /notifications":           c.notificationList,
		"GET /notifications/report":    c.reportPage,
		"GET /notifications/picture":   c.reportPicture,
		"GET /approvals":               c.approvalList,
		"GET /audit":                   c.auditList,
		"GET /credentials":             c.credentialList,
		"GET /windows":                 c.windowList,
		"GET /settings":                c.settingList,
		"GET /users":                   c.userList,
		"POST /account/sign-on":        c.connectSignOn,
		"GET /users/passkeys":          c.passkeysOf,
		"GET /account":                 c.showAccount,
		"POST /account/passkeys":       c.addPasskey,
		"POST /account/passkeys/begin": c.beginPasskey,
		"GET /points/show":             c.pointPage,
		"GET /do/{deed}":               c.askDeed,
		"POST /do/{deed}":              c.doDeed,
		"/":                            c.nothing,
	} {
		mux.HandleFunc(pattern, c.inside(c.knowing(p)))
	}
	return headers(http.NewCrossOriginProtection().Handler(limited(mux)))
}

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, formMost)
		next.ServeHTTP(w, r)
	})
}

// page answers a request of somebody who has shown a token. Whether it is good, the first call
// tells. An error becomes a page, unless the answer has begun.
type page func(w http.ResponseWriter, r *http.Request, v *view) error

func (c *console) inside(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := tokenOf(r)
		if !ok {
			c.toLogin(w, r, "")
			return
		}
		v := c.view(r)
		v.inside = true
		r = r.WithContext(as(r.Context(), caller{token: token, address: r.RemoteAddr}))
		if err := p(w, r, v); err != nil {
			c.fail(w, r, v, err)
		}
	}
}

func (c *console) view(r *http.Request) *view {
	return &view{version: c.version, now: time.Now(), zone: zoneOf(r)}
}

// kindStatus is what a browser is told of a kind of error.
var kindStatus = map[errs.Kind]int{
	errs.NotFound:    http.StatusNotFound,
	errs.Exists:      http.StatusConflict,
	errs.Busy:        http.StatusConflict,
	errs.Denied:      http.StatusForbidden,
	errs.Unavailable: http.StatusServiceUnavailable,
	errs.Invalid:     http.StatusBadRequest,
}

func statusOf(err error) int {
	if status, ok := kindStatus[errs.KindOf(err)]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// expired tells whether an error says that the token counts no more.
func expired(err error) bool {
	code := errs.CodeOf(err)
	return code == "access.token-unknown" || code == "access.token-missing"
}

func (c *console) fail(w http.ResponseWriter, r *http.Request, v *view, err error) {
	if r.Context().Err() != nil {
		return // nobody is there any more
	}
	if expired(err) {
		clearToken(w)
		c.toLogin(w, r, "expired")
		return
	}
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		c.log.Error("console page failed", "path", r.URL.Path, "error", err)
	}
	v.title = "Error"
	c.show(w, r, status, errorPage(v, problemOf(v, err)))
}

// problem is an error as a page says it.
type problem struct {
	text, hint, code string
	confirm          bool // it would have been done if the login were confirmed
	asked            bool // it was asked for, and another administrator decides
}

func problemOf(v *view, err error) *problem {
	p := &problem{text: v.says(err.Error()), hint: v.says(errs.HintOf(err)), code: errs.CodeOf(err)}
	if p.confirm = p.code == "access.unconfirmed"; p.confirm {
		p.hint = "" // it is for the command line
	}
	if p.asked = p.code == "approval.asked"; p.asked {
		p.hint = ""
	}
	return p
}

// show answers with a page. It is made before anything is sent, so that an error in the middle
// is no half page.
func (c *console) show(w http.ResponseWriter, r *http.Request, status int, p templ.Component) {
	var html bytes.Buffer
	if err := p.Render(r.Context(), &html); err != nil {
		if r.Context().Err() == nil {
			c.log.Error("console page cannot be made", "path", r.URL.Path, "error", err)
		}
		http.Error(w, "the page cannot be made; the server's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(html.Bytes()) // who has gone need not know
}

func (c *console) nothing(http.ResponseWriter, *http.Request, *view) error {
	return errs.New(errs.NotFound, "", "there is no such page")
}

//go:embed assets
var assets embed.FS

// assetTypes are the files that are served, of those that are there.
var assetTypes = map[string]string{
	"app.css":       "text/css; charset=utf-8",
	"app.js":        "text/javascript; charset=utf-8",
	"passkeys.js":   "text/javascript; charset=utf-8",
	"htmx.min.js":   "text/javascript; charset=utf-8",
	"hx-sse.min.js": "text/javascript; charset=utf-8",
	"icon.svg":      "image/svg+xml",
}

// serveAsset serves a file that is the same for everybody. A browser may keep it, but asks
// whether it still is the one; a new version of the server has others under the same names.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	kind, ok := assetTypes[name]
	data, err := assets.ReadFile("assets/" + name)
	if !ok || err != nil {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(data)
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
}

// quiet takes the error out of an end that the browser asked for by going away.
func quiet(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
