package console

import (
	"encoding/base64"
	"net/http"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// This file is the way through a provider of single sign-on and back.

// ticketCookie holds what has to be known when the browser comes back. That is a way from another site's
// page, so that the cookie has to be sent along with it; tokenCookie is not.
const ticketCookie = "__Host-keepward-sign-on"

// ticketSeconds is how long a browser keeps it; the server ends it by itself too.
const ticketSeconds = 600

func setTicket(w http.ResponseWriter, ticket []byte, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: ticketCookie, Value: base64.RawURLEncoding.EncodeToString(ticket), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: seconds,
	})
}

// signOn sends a browser to the provider. It is a link and no form: the browser follows no form to another
// site.
func (c *console) signOn(w http.ResponseWriter, r *http.Request) {
	f := loginForm{next: localPath(r.URL.Query().Get("next"))}
	m, err := call(as(r.Context(), caller{address: r.RemoteAddr}), c.client.signOns.GetSignOnURL, &keepwardv1.GetSignOnURLRequest{Next: f.next})
	if err != nil {
		f.problem = problemOf(c.view(r), err)
		c.answerLogin(w, r, statusOf(err), f)
		return
	}
	setTicket(w, m.GetTicket(), ticketSeconds)
	http.Redirect(w, r, m.GetUrl(), http.StatusSeeOther)
}

// signOnBack takes a browser back. The page that it answers goes on by itself: a redirect would still count
// as a way from the provider's page, on which the browser does not send the token's cookie along.
func (c *console) signOnBack(w http.ResponseWriter, r *http.Request) {
	var ticket []byte
	if kept, err := r.Cookie(ticketCookie); err == nil {
		ticket, _ = base64.RawURLEncoding.DecodeString(kept.Value) // the server says what is wrong with it
	}
	setTicket(w, nil, -1)
	m, err := call(as(r.Context(), caller{address: r.RemoteAddr}), c.client.signOns.FinishSignOn, &keepwardv1.FinishSignOnRequest{Ticket: ticket, Query: r.URL.RawQuery})
	if err != nil {
		status := statusOf(err)
		if errs.KindOf(err) == errs.Denied {
			status = http.StatusUnauthorized
		}
		c.answerLogin(w, r, status, loginForm{next: "/", problem: problemOf(c.view(r), err)})
		return
	}
	if m.GetLogin() != nil {
		setToken(w, m.GetLogin().GetToken())
	}
	v := c.view(r)
	v.title = "Go on"
	c.show(w, r, http.StatusOK, goOnPage(v, localPath(m.GetNext()), "You are known. Keepward goes on by itself."))
}

// connectSignOn begins to connect the account of who looks. The page that it answers leads to the provider.
func (c *console) connectSignOn(w http.ResponseWriter, r *http.Request, v *view) error {
	if err := r.ParseForm(); err != nil {
		return errs.New(errs.Invalid, "", "read the form: %w", err)
	}
	m, err := call(r.Context(), c.client.signOns.ConnectSignOn, &keepwardv1.ConnectSignOnRequest{Password: r.PostForm.Get("password"), Code: r.PostForm.Get("code"), Next: "/account"})
	switch {
	case expired(err):
		return err
	case err != nil:
		return c.answerAccount(w, r, v, statusOf(err), problemOf(v, err))
	}
	setTicket(w, m.GetTicket(), ticketSeconds)
	v.title, v.at = "Go on", "account"
	c.show(w, r, http.StatusOK, goOnPage(v, m.GetUrl(), "Say there who you are: "+words.Safe(m.GetName())))
	return nil
}

func signOnSection(v *view, m *keepwardv1.ListSignOnsResponse) section {
	t := section{title: "Single sign-on", columns: columns("Person", "~Made", "Used", "Actions"), empty: "Your account is connected with nobody."}
	for _, o := range m.GetSignOns() {
		who := say(o.GetLabel())
		who.sub = words.Safe(o.GetIssuer())
		t.rows = append(t.rows, []cell{who, at(o.GetCreated()), at(o.GetUsed()), doable(v.offers(o.GetId(), "disconnect-sign-on"))})
	}
	return t
}

// signOnFacts are how the provider is set up, for administrators.
func (c *console) signOnFacts(r *http.Request, v *view) (section, error) {
	m, err := call(r.Context(), c.client.signOns.GetSignOnProvider, &keepwardv1.GetSignOnProviderRequest{})
	s := section{title: "Single sign-on", note: "No provider is set up.", offers: v.offers("", "set-sign-on")}
	if p := m.GetProvider(); p != nil {
		s.note, s.offers = "", v.offers("", "set-sign-on", "test-sign-on", "remove-sign-on")
		s.facts = fields("Name", words.Safe(p.GetName()), "Issuer", words.Safe(p.GetIssuer()), "Client", words.Safe(p.GetClientId()), "The provider sends back to", words.Safe(m.GetRedirectUrl()))
	}
	return s, err
}

var signOnDeeds = []deed{
	{
		name: "disconnect-sign-on", verb: "Disconnect", procedure: v1.SignOnServiceDisconnectSignOnProcedure, part: "account", danger: true,
		ask: func(d *doing) (form, error) {
			m, err := call(d, d.c.signOns.ListSignOns, &keepwardv1.ListSignOnsRequest{})
			if err != nil {
				return form{}, err
			}
			for _, o := range m.GetSignOns() {
				if o.GetId() == d.of {
					return form{about: "your account from " + o.GetLabel(), back: "/account", comes: []string{
						"Nobody logs in to your account by that any more. Logins that were made by it go on: they end by themselves, or are ended.",
					}}, nil
				}
			}
			return form{}, errs.New(errs.NotFound, "", "your account is not connected by %q", d.of)
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.signOns.DisconnectSignOn, &keepwardv1.DisconnectSignOnRequest{Id: d.of})
			return done{to: "/account"}, err
		},
	},
	{
		name: "set-sign-on", verb: "Set up", procedure: v1.SignOnServiceSetSignOnProviderProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			m, err := call(d, d.c.signOns.GetSignOnProvider, &keepwardv1.GetSignOnProviderRequest{})
			p := m.GetProvider()
			secret := secretEntry("secret", "Client secret", "As the provider gave it out. Empty: the one that is kept, for the same issuer.")
			secret.needed = p == nil
			return form{
				about: "single sign-on", back: "/users", thing: p,
				facts: fields("The provider sends back to", words.Safe(m.GetRedirectUrl())),
				comes: []string{"The provider is asked what it is. If it does not say, nothing is changed.", "Users who have connected their account, on the page Account, log in through it. Nobody becomes a user by it."},
				inputs: []entry{
					written(inText, "name", "Name", p.GetName(), "It stands on the login page."), written(inText, "issuer", "Issuer", p.GetIssuer(), "Such as https://id.example.com/realms/main."),
					written(inText, "client", "Client id", p.GetClientId(), ""), secret,
					written(inArea, "ca", "Authority", p.GetCa(), "Certificates in PEM of the authority that signed the provider's. Empty: those that the server's system trusts."),
				},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.signOns.SetSignOnProvider, &keepwardv1.SetSignOnProviderRequest{
				Provider: &keepwardv1.SignOnProvider{Issuer: d.text("issuer"), ClientId: d.text("client"), Name: d.text("name"), Ca: d.text("ca")}, Secret: d.in.Get("secret"),
			})
			return done{to: "/users"}, err
		},
	},
	{
		name: "test-sign-on", verb: "Test", procedure: v1.SignOnServiceTestSignOnProviderProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{about: "single sign-on", back: "/users", comes: []string{"The provider is asked what it is."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.signOns.TestSignOnProvider, &keepwardv1.TestSignOnProviderRequest{})
			return done{to: "/users", says: []string{"The provider answers, and is what it is set up as. Whether it knows the client is seen when somebody logs in."}}, err
		},
	},
	{
		name: "remove-sign-on", verb: "Remove", procedure: v1.SignOnServiceRemoveSignOnProviderProcedure, part: "server", danger: true,
		ask: func(*doing) (form, error) {
			return form{about: "single sign-on", back: "/users", comes: []string{"Nobody logs in through the provider any more. Logins that were made go on.", "With whom accounts are connected is kept, for when the same provider is set up again."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.signOns.RemoveSignOnProvider, &keepwardv1.RemoveSignOnProviderRequest{})
			return done{to: "/users"}, err
		},
	},
}
