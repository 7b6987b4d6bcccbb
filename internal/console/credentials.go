package console

import (
	"net/http"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/words"
)

// credentialList is the users and secrets of applications, without the secrets.
func (c *console) credentialList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.credentials.ListCredentials, &keepwardv1.ListCredentialsRequest{})
	if err != nil {
		return err
	}
	t := section{
		note:    "With these a job's applications are opened. The server keeps the secrets sealed, and shows them to nobody.",
		columns: columns("Credential", "User", "Jobs", "~Changed", "Actions"), empty: "There is none.",
	}
	for _, one := range m.GetCredentials() {
		name := say(one.GetName())
		name.sub = words.Safe(one.GetDescription())
		t.rows = append(t.rows, []cell{name, say(one.GetUser()), say(words.Few(one.GetJobs())), at(one.GetChanged()), doable(v.offers(one.GetName(), "edit-credential", "delete-credential"))})
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Credentials", offers: v.offers("", "new-credential"), sections: []section{t}})
	return nil
}

func readCredential(d *doing) (*keepwardv1.Credential, error) {
	m, err := call(d, d.c.credentials.ListCredentials, &keepwardv1.ListCredentialsRequest{})
	return oneNamed(m.GetCredentials(), err, "credential", d.of)
}

func credentialEntries(one *keepwardv1.Credential) []entry {
	return []entry{
		written(inText, "user", "User", one.GetUser(), "As the application knows it."),
		written(inText, "description", "Description", one.GetDescription(), "A remark for people."),
		secretEntry("secret", "Secret", "Its password."),
	}
}

func saveCredential(d *doing, name string, replace bool) (done, error) {
	_, err := call(d, d.c.credentials.SaveCredential, &keepwardv1.SaveCredentialRequest{
		Credential: &keepwardv1.Credential{Name: name, User: d.text("user"), Description: d.text("description")}, Secret: d.in.Get("secret"), Replace: replace,
	})
	return done{to: "/credentials"}, err
}

var credentialDeeds = []deed{
	{
		name: "new-credential", verb: "New credential", procedure: v1.CredentialServiceSaveCredentialProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{back: "/credentials", inputs: append([]entry{written(inText, "name", "Name", "", "")}, credentialEntries(nil)...)}, nil
		},
		do: func(d *doing) (done, error) { return saveCredential(d, d.text("name"), false) },
	},
	{
		name: "edit-credential", verb: "Replace", procedure: v1.CredentialServiceSaveCredentialProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readCredential(d)
			return form{
				about: "credential " + d.of, back: "/credentials", thing: one, facts: fields("Jobs", words.Safe(words.Few(one.GetJobs()))),
				comes: []string{"The next sessions of its jobs log in with it."}, inputs: credentialEntries(one),
			}, err
		},
		do: func(d *doing) (done, error) { return saveCredential(d, d.of, true) },
	},
	{
		name: "delete-credential", verb: "Delete", procedure: v1.CredentialServiceDeleteCredentialProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			one, err := readCredential(d)
			return form{about: "credential " + d.of, back: "/credentials", facts: fields("Jobs", words.Safe(words.Few(one.GetJobs()))), comes: []string{"It is gone for good. One that a job names stays."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.credentials.DeleteCredential, &keepwardv1.DeleteCredentialRequest{Name: d.of})
			return done{to: "/credentials"}, err
		},
	},
}
