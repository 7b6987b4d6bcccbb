package console

import (
	"encoding/json"
	"net/http"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// This file is what users see and set of themselves: how they log in, and where they are logged in.

// account is the page of who looks.
type account struct {
	sheet sheet
	// What a new passkey needs; origin empty: passkeys cannot be made.
	origin string
	// provider is with whom the account can be connected; empty: there is none.
	provider string
	code     bool // a one-time code is asked for
	problem  *problem
}

func passkeySection(v *view, m *keepwardv1.ListPasskeysResponse, user string) section {
	t := section{title: "Passkeys", columns: columns("Passkey", "~Made", "Used", "Actions"), empty: "There is none."}
	for _, p := range m.GetPasskeys() {
		name := say(p.GetName())
		if p.GetSynced() {
			name.sub = "may be on several devices"
		}
		t.rows = append(t.rows, []cell{name, at(p.GetCreated()), at(p.GetUsed()), doable(v.offersWith(p.GetId(), "user", user, "remove-passkey"))})
	}
	return t
}

func (c *console) account(r *http.Request, v *view) (*account, error) {
	keys, err := call(r.Context(), c.client.passkeys.ListPasskeys, &keepwardv1.ListPasskeysRequest{})
	if err != nil {
		return nil, err
	}
	by, err := call(r.Context(), c.client.signOns.ListSignOns, &keepwardv1.ListSignOnsRequest{})
	if err != nil {
		return nil, err
	}
	codes, err := call(r.Context(), c.client.codes.GetOneTimeCodes, &keepwardv1.GetOneTimeCodesRequest{})
	if err != nil {
		return nil, err
	}
	tokens, err := call(r.Context(), c.client.tokens.ListAPITokens, &keepwardv1.ListAPITokensRequest{})
	if err != nil {
		return nil, err
	}
	who := v.caller.GetUser()
	a := &account{code: codes.GetSince() != nil, sheet: sheet{heading: "Your account", of: words.Safe(who.GetName())}}
	second, names := "not set up", []string{"enrol-codes"}
	if a.code {
		names = []string{"renew-recovery-codes", "remove-codes"}
		second = "asked for at the login; " + words.Plural(int64(codes.GetRecoveryCodes()), "recovery code") + " left"
	}
	a.sheet.offers = v.offers("", append([]string{"own-password", "new-api-token"}, names...)...)
	groups := "the whole site"
	if len(who.GetGroups()) > 0 {
		groups = "computers of " + words.Safe(words.Few(who.GetGroups()))
	}
	a.sheet.sections = append(a.sheet.sections, section{facts: fields("User", words.Safe(who.GetName()), "Role", words.Safe(v.caller.GetRole()), "For", groups, "One-time codes", second)})
	s := passkeySection(v, keys, "")
	s.note = "A passkey is kept by this device or by a key that you carry, and logs you in without password and code."
	if why := keys.GetUnavailable(); why != "" {
		s.note += " They cannot be made now: " + v.says(why)
	} else {
		a.origin = keys.GetOrigin()
	}
	logins := section{title: "Where you are logged in", columns: columns("Login", "From", "~Used", "Ends", "Actions"), empty: "Nowhere."}
	programs := section{title: "Your API tokens", columns: columns("Token", "Role", "~Used", "Ends", "Actions"), empty: "There is none."}
	for _, k := range tokens.GetTokens() {
		id := say(k.GetId())
		id.code, id.sub = true, words.Safe(k.GetName())
		acts := doable(v.offers(k.GetId(), "end-token"))
		if k.GetKind() == "token" {
			programs.rows = append(programs.rows, []cell{id, say(k.GetRole()), at(k.GetUsed()), at(k.GetExpires()), acts})
			continue
		}
		if k.GetCurrent() {
			id.sub = "this one"
		}
		logins.rows = append(logins.rows, []cell{id, say(k.GetAddress()), at(k.GetUsed()), at(k.GetExpires()), acts})
	}
	a.sheet.sections = append(a.sheet.sections, logins, programs)
	if a.provider = words.Safe(by.GetProvider()); a.provider != "" || len(by.GetSignOns()) > 0 {
		a.sheet.sections = append(a.sheet.sections, signOnSection(v, by))
	}
	a.sheet.sections = append(a.sheet.sections, s)
	return a, nil
}

func (c *console) showAccount(w http.ResponseWriter, r *http.Request, v *view) error {
	return c.answerAccount(w, r, v, http.StatusOK, nil)
}

func (c *console) answerAccount(w http.ResponseWriter, r *http.Request, v *view, status int, wrong *problem) error {
	a, err := c.account(r, v)
	if err != nil {
		return err
	}
	a.problem = wrong
	v.title, v.at = "Your account", "account"
	c.show(w, r, status, accountPage(v, a))
	return nil
}

// passkeysOf is the page of another user's passkeys, for administrators.
func (c *console) passkeysOf(w http.ResponseWriter, r *http.Request, v *view) error {
	user := r.URL.Query().Get("user")
	m, err := call(r.Context(), c.client.passkeys.ListPasskeys, &keepwardv1.ListPasskeysRequest{User: user})
	if err != nil {
		return err
	}
	s := passkeySection(v, m, user)
	s.title = ""
	c.showSheet(w, r, v, "server", sheet{crumb: choice{"/users", "Users and tokens"}, heading: "Passkeys", of: words.Safe(user), sections: []section{s}})
	return nil
}

// tellScript answers what a script of a page asked for.
func (c *console) tellScript(w http.ResponseWriter, status int, answer any) {
	data, err := json.Marshal(answer)
	if err != nil {
		c.log.Error("answer to a page's script cannot be made", "error", err)
		status, data = http.StatusInternalServerError, nil
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // who went away need not know
}

// scriptProblem is what a script shows of an error.
type scriptProblem struct {
	Text string `json:"text"`
	Hint string `json:"hint,omitempty"`
}

func (c *console) tellProblem(w http.ResponseWriter, v *view, err error) {
	p := problemOf(v, err)
	c.tellScript(w, statusOf(err), scriptProblem{Text: p.text, Hint: p.hint})
}

// beginPasskey answers the script of the account page with what the browser is to make.
func (c *console) beginPasskey(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	m, err := call(r.Context(), c.client.passkeys.BeginPasskey, &keepwardv1.BeginPasskeyRequest{Password: r.PostForm.Get("password"), Code: r.PostForm.Get("code")})
	if err != nil {
		c.tellProblem(w, v, err)
		return nil
	}
	c.tellScript(w, http.StatusOK, json.RawMessage(m.GetOptions()))
	return nil
}

func (c *console) addPasskey(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	name := typedText(strings.TrimSpace(r.PostForm.Get("name")))
	_, err := call(r.Context(), c.client.passkeys.AddPasskey, &keepwardv1.AddPasskeyRequest{Name: name, Response: []byte(r.PostForm.Get("response"))})
	switch {
	case expired(err):
		return err
	case err != nil:
		return c.answerAccount(w, r, v, statusOf(err), problemOf(v, err))
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
	return nil
}

// askPasskey answers the script of the login page with what the browser is to look for.
func (c *console) askPasskey(w http.ResponseWriter, r *http.Request) {
	ctx := as(r.Context(), caller{address: r.RemoteAddr})
	m, err := call(ctx, c.client.passkeys.GetPasskeyChallenge, &keepwardv1.GetPasskeyChallengeRequest{})
	if err == nil && len(m.GetOptions()) == 0 {
		err = errs.New(errs.NotFound, "", "passkeys cannot be used here any more; load the page again")
	}
	if err != nil {
		c.tellProblem(w, c.view(r), err)
		return
	}
	c.tellScript(w, http.StatusOK, json.RawMessage(m.GetOptions()))
}

func (c *console) loginByPasskey(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return
	}
	ctx := as(r.Context(), caller{address: r.RemoteAddr})
	m, err := call(ctx, c.client.passkeys.LoginByPasskey, &keepwardv1.LoginByPasskeyRequest{Response: []byte(r.PostForm.Get("response"))})
	c.loggedIn(w, r, loginForm{next: localPath(r.PostForm.Get("next"))}, m, err)
}

// readPasskey finds the name of one.
func readPasskey(d *doing) (*keepwardv1.Passkey, error) {
	m, err := call(d, d.c.passkeys.ListPasskeys, &keepwardv1.ListPasskeysRequest{User: d.more.Get("user")})
	for _, p := range m.GetPasskeys() {
		if p.GetId() == d.of {
			return p, nil
		}
	}
	if err == nil {
		err = errs.New(errs.NotFound, "", "there is no passkey %q", d.of)
	}
	return nil, err
}

const keepRecoveryCodes = "Each of these lets you in once in the place of a code. Keep them where the telephone is not."

func codeEntry(label string) entry {
	return entry{name: "code", label: label, secret: true, needed: true, once: true}
}

var accountDeeds = []deed{
	{
		name: "confirm-login", verb: "Confirm that it is you", procedure: v1.AccessServiceConfirmLoginProcedure, part: "account",
		ask: func(d *doing) (form, error) {
			codes, err := call(d, d.c.codes.GetOneTimeCodes, &keepwardv1.GetOneTimeCodesRequest{})
			f := form{back: "/account", comes: []string{
				"This login may then do for a while what cannot be undone. Log in again instead if you have a passkey or single sign-on.",
			}, inputs: []entry{secretEntry("password", "Your password", "")}}
			if codes.GetSince() != nil {
				f.inputs = append(f.inputs, secretEntry("code", "One-time code", "A recovery code will do too."))
			}
			return f, err
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.access.ConfirmLogin, &keepwardv1.ConfirmLoginRequest{Password: d.in.Get("password"), Code: d.in.Get("code")})
			return done{to: "/account", says: []string{
				"Confirmed until " + d.v.clock(m.GetUntil().AsTime()) + ".",
				"Close this tab, go back to where you were, and press the button again.",
			}}, err
		},
	},
	{
		name: "enrol-codes", verb: "Set up one-time codes", procedure: v1.OneTimeCodeServiceEnrolOneTimeCodesProcedure, part: "account",
		ask: func(*doing) (form, error) {
			return form{back: "/account", comes: []string{
				"An app on your telephone makes a new code every 30 seconds (TOTP: any such app), and logins need the password and a code.",
				"Nothing changes before you have shown, on the page after the next, that the app makes the codes.",
			}, inputs: []entry{secretEntry("password", "Your password", "")}}, nil
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.codes.EnrolOneTimeCodes, &keepwardv1.EnrolOneTimeCodesRequest{Password: d.in.Get("password")})
			return done{to: "/do/confirm-codes", secret: m.GetSecret(), code: m.GetUrl(), says: []string{
				"Put it into the app, with its camera or by hand, before " + d.v.clock(m.GetUntil().AsTime()) + "; then go on and type the code that the app shows.",
			}}, err
		},
	},
	{
		name: "confirm-codes", verb: "Confirm", procedure: v1.OneTimeCodeServiceConfirmOneTimeCodesProcedure, part: "account",
		ask: func(*doing) (form, error) {
			return form{about: "the app makes your codes", back: "/account", comes: []string{
				"From now on your logins need a code. Your other logins end.",
				"Recovery codes are shown on the next page, each of which lets you in once without the telephone.",
			}, inputs: []entry{codeEntry("The code that the app shows")}}, nil
		},
		do: func(d *doing) (done, error) {
			says := []string{keepRecoveryCodes}
			m, err := call(d, d.c.codes.ConfirmOneTimeCodes, &keepwardv1.ConfirmOneTimeCodesRequest{Code: d.text("code")})
			if n := m.GetEndedLogins(); n > 0 {
				says = append(says, words.Plural(int64(n), "other login")+" ended.")
			}
			return done{to: "/account", secret: strings.Join(m.GetCodes(), "\n"), says: says}, err
		},
	},
	{
		name: "renew-recovery-codes", verb: "New recovery codes", procedure: v1.OneTimeCodeServiceRenewRecoveryCodesProcedure, part: "account",
		ask: func(*doing) (form, error) {
			return form{back: "/account", comes: []string{"The recovery codes that you have count no more."}, inputs: []entry{codeEntry("The code that the app shows")}}, nil
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.codes.RenewRecoveryCodes, &keepwardv1.RenewRecoveryCodesRequest{Code: d.text("code")})
			return done{to: "/account", secret: strings.Join(m.GetCodes(), "\n"), says: []string{keepRecoveryCodes}}, err
		},
	},
	{
		name: "remove-codes", verb: "Remove one-time codes", procedure: v1.OneTimeCodeServiceRemoveOneTimeCodesProcedure, part: "account", danger: true,
		ask: func(*doing) (form, error) {
			return form{back: "/account", comes: []string{"Your logins need the password only."}, inputs: []entry{codeEntry("One-time code")}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.codes.RemoveOneTimeCodes, &keepwardv1.RemoveOneTimeCodesRequest{Code: d.text("code")})
			return done{to: "/account"}, err
		},
	},
	{
		name: "remove-codes-of", verb: "Remove one-time codes", procedure: v1.UserServiceCreateUserProcedure, part: "server", danger: true, // of others: for administrators
		ask: func(d *doing) (form, error) {
			one, err := readUser(d)
			f := form{about: "user " + d.of, back: "/users", comes: []string{"The user logs in with the password only, until they are set up anew.", "Do it for somebody whose telephone is lost, and who you know it is."}}
			if err == nil && !one.GetOneTimeCodes() {
				f.missing = "The user has none."
			}
			return f, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.codes.RemoveOneTimeCodes, &keepwardv1.RemoveOneTimeCodesRequest{User: d.of})
			return done{to: "/users"}, err
		},
	},
	{
		name: "remove-passkey", verb: "Remove", procedure: v1.PasskeyServiceRemovePasskeyProcedure, part: "account", danger: true,
		ask: func(d *doing) (form, error) {
			p, err := readPasskey(d)
			f := form{about: "passkey " + p.GetName(), back: "/account", comes: []string{
				"Nobody logs in with it any more. Logins that were made with it go on: they end by themselves, or are ended.",
				"The device may still offer it; remove it there too.",
			}}
			if user := d.more.Get("user"); user != "" {
				f.about, f.back = f.about+" of "+user, link("/users/passkeys", "user", user)
			}
			return f, err
		},
		do: func(d *doing) (done, error) {
			user, to := d.more.Get("user"), "/account"
			if user != "" {
				to = link("/users/passkeys", "user", user)
			}
			_, err := call(d, d.c.passkeys.RemovePasskey, &keepwardv1.RemovePasskeyRequest{User: user, Id: d.of})
			return done{to: to}, err
		},
	},
}
