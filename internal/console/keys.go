package console

import (
	"fmt"
	"net/http"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// This file is what makes a repository, what opens it without the server, and how the server lets go of it.

// keySection is what opens a repository without the server. Its host is asked, and may be away.
func (c *console) keySection(r *http.Request, v *view, name string) (section, error) {
	t := section{
		title: "What opens it without this server", offers: v.offers(name, "export-recovery-key", "add-recovery-key", "add-passphrase"),
		columns: columns("Key", "Form", "~Label", "~Made", "Actions"), empty: "It is not known now.",
	}
	m, err := call(r.Context(), c.client.repositories.ListRepositoryKeys, &keepwardv1.ListRepositoryKeysRequest{Name: name})
	switch kind := errs.KindOf(err); {
	case kind == errs.Unavailable || kind == errs.Busy:
		t.empty = "It is not known now: " + v.says(err.Error())
		return t, nil
	case err != nil:
		return t, err
	}
	for _, k := range m.GetKeys() {
		form := say(k.GetForm())
		if k.GetCurrent() {
			form.sub = "the one that is shown here"
		}
		row := []cell{say(k.GetNumber()), form, say(k.GetLabel()), at(k.GetCreated()), {}}
		if !k.GetCurrent() {
			row[4].acts = v.offersWith(k.GetNumber(), "repository", name, "remove-key")
		}
		t.rows = append(t.rows, row)
	}
	return t, nil
}

// keyDeed is one that answers a secret of a repository.
func keyDeed(name, verb, procedure string, danger bool, comes []string, inputs []entry, do func(d *doing) (string, error)) deed {
	return deed{
		name: name, verb: verb, procedure: procedure, part: "repositories", danger: danger,
		ask: func(d *doing) (form, error) {
			one, err := readRepository(d)
			return form{
				about: "repository " + d.of, back: repositoryLink(d.of), facts: fields("Where", words.Safe(one.GetTransport()+":"+one.GetPath())),
				comes: comes, inputs: append([]entry(nil), inputs...),
			}, err
		},
		do: func(d *doing) (done, error) {
			secret, err := do(d)
			return done{to: repositoryLink(d.of), secret: secret}, err
		},
	}
}

var (
	labelEntry   = written(inText, "label", "Label", "", "Whose it is or where it is kept; it is stored in clear.")
	replaceEntry = written(inCheck, "replace", "Remove the others of this form when it stands", "", "")
)

const keepRecoveryKey = "The recovery key is shown, once. With it everything in the repository can be read and restored, without this server and by anybody who has it."

var keyDeeds = []deed{
	{
		name: "new-repository", verb: "New repository", procedure: v1.RepositoryServiceCreateRepositoryProcedure, part: "repositories",
		ask: func(d *doing) (form, error) {
			m, err := call(d, d.c.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
			var hosts []choice
			for _, t := range m.GetTransports() {
				hosts = append(hosts, choice{shownText(t.GetName()), words.Safe(t.GetName() + " (" + t.GetStatus() + ")")})
			}
			f := form{back: "/repositories", comes: []string{"It is made on the host, in a folder that is not there yet or is empty.", keepRecoveryKey}}
			if err == nil && len(hosts) == 0 {
				f.missing = "No transport has joined: start one on the host with the disks, with a token for the role transport."
				return f, nil
			}
			first := ""
			if len(hosts) > 0 {
				first = hosts[0].value
			}
			f.inputs = []entry{
				written(inText, "name", "Name", "", ""),
				{name: "transport", kind: inChoice, label: "Host", choices: hosts, values: listOf(first), help: "The transport on it."},
				written(inText, "path", "Folder", "", "On that host, absolute."), written(inText, "streams", "Tasks at once", "", "Nothing: as is usual."), written(inText, "writers", "Of these writing", "", "The same."),
			}
			return f, err
		},
		do: func(d *doing) (done, error) {
			r := &keepwardv1.Repository{Name: d.text("name"), Transport: d.text("transport"), Path: d.text("path")}
			var err error
			if r.Streams, err = d.counted("tasks at once", "streams"); err != nil {
				return done{}, err
			}
			if r.Writers, err = d.counted("of these writing", "writers"); err != nil {
				return done{}, err
			}
			m, err := call(d, d.c.repositories.CreateRepository, &keepwardv1.CreateRepositoryRequest{Repository: r})
			return done{to: repositoryLink(r.GetName()), secret: m.GetRecoveryKey(), says: []string{"Without it nothing can be read once the server is lost. Print it, or keep it in a safe for passwords that this server is not needed for."}}, err
		},
	},
	keyDeed("export-recovery-key", "Show recovery key", v1.RepositoryServiceExportRecoveryKeyProcedure, true, []string{keepRecoveryKey}, nil, func(d *doing) (string, error) {
		m, err := call(d, d.c.repositories.ExportRecoveryKey, &keepwardv1.ExportRecoveryKeyRequest{Name: d.of})
		return m.GetRecoveryKey(), err
	}),
	keyDeed("add-recovery-key", "New recovery key", v1.RepositoryServiceAddRepositoryKeyProcedure, true, []string{keepRecoveryKey, "It becomes the one that is shown from then on."}, []entry{labelEntry, replaceEntry}, func(d *doing) (string, error) {
		m, err := call(d, d.c.repositories.AddRepositoryKey, &keepwardv1.AddRepositoryKeyRequest{Name: d.of, Label: d.text("label"), Replace: d.on("replace")})
		return m.GetRecoveryKey(), err
	}),
	keyDeed("add-passphrase", "New passphrase", v1.RepositoryServiceAddRepositoryKeyProcedure, true,
		[]string{"Who knows it opens the repository with it, without this server."},
		[]entry{labelEntry, secretEntry("password", "Passphrase", "Long enough that nobody guesses it: guesses need only the repository's files."), secretEntry("again", "Once more", ""), replaceEntry},
		func(d *doing) (string, error) {
			passphrase, err := d.twice()
			if err != nil {
				return "", err
			}
			if passphrase == "" {
				return "", errs.New(errs.Invalid, "", "the passphrase is empty")
			}
			_, err = call(d, d.c.repositories.AddRepositoryKey, &keepwardv1.AddRepositoryKeyRequest{Name: d.of, Label: d.text("label"), Passphrase: passphrase, Replace: d.on("replace")})
			return "", err
		}),
	{
		name: "remove-key", verb: "Remove", procedure: v1.RepositoryServiceRemoveRepositoryKeyProcedure, part: "repositories", danger: true,
		ask: func(d *doing) (form, error) {
			name := d.more.Get("repository")
			m, err := call(d, d.c.repositories.ListRepositoryKeys, &keepwardv1.ListRepositoryKeysRequest{Name: name})
			if err != nil {
				return form{}, err
			}
			for _, k := range m.GetKeys() {
				if k.GetNumber() == d.of {
					return form{
						about: fmt.Sprintf("key %s of repository %s", d.of, name), back: repositoryLink(name), facts: fields("Form", words.Safe(k.GetForm()), "Label", words.Safe(k.GetLabel())),
						comes: []string{"It opens the repository no more. Who kept a copy of the repository's old key object can still use it there."},
					}, nil
				}
			}
			return form{}, errs.New(errs.NotFound, "", "repository %s has no key %q", name, d.of)
		},
		do: func(d *doing) (done, error) {
			name := d.more.Get("repository")
			_, err := call(d, d.c.repositories.RemoveRepositoryKey, &keepwardv1.RemoveRepositoryKeyRequest{Name: name, Number: d.of})
			return done{to: repositoryLink(name)}, err
		},
	},
	{
		name: "detach-repository", verb: "Detach", procedure: v1.RepositoryServiceDetachRepositoryProcedure, part: "repositories", danger: true,
		ask: func(d *doing) (form, error) {
			one, err := readRepository(d)
			return form{
				about: "repository " + d.of, back: repositoryLink(d.of), facts: fields("Where", words.Safe(one.GetTransport()+":"+one.GetPath()), "Points", words.Count(one.GetPoints())),
				comes: []string{
					"The server forgets it and its restore points. Its files stay on the disk as they are.",
					"It can be attached again, here or to another server, with its recovery key and on the command line: keepward repository attach. Have the key before.",
				},
				inputs: []entry{written(inCheck, "jobs", "Delete its disabled jobs too", "", "Without that, jobs that name it must be deleted or moved first.")},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.repositories.DetachRepository, &keepwardv1.DetachRepositoryRequest{Name: d.of, DeleteDisabledJobs: d.on("jobs")})
			return done{to: "/repositories"}, err
		},
	},
}
