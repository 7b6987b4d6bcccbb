package console

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/words"
)

func repositoryLink(name string) string { return link("/repositories/show", "repository", name) }

// ratio is how many times one amount is another; empty where that says nothing.
func ratio(of, to int64) string {
	if of == 0 || to == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f : 1", float64(of)/float64(to))
}

// repositoryStats are the figures of a repository; of one that cannot be reached those that the server
// has, and a condition that says so: it is when something is wrong that its page is opened.
func (c *console) repositoryStats(ctx context.Context, name string) (*keepwardv1.RepositoryStats, error) {
	m, err := call(ctx, c.client.repositories.GetRepositoryStats, &keepwardv1.GetRepositoryStatsRequest{Name: name})
	if errs.KindOf(err) != errs.Unavailable {
		return m.GetStats(), err
	}
	known, knownErr := call(ctx, c.client.repositories.GetRepository, &keepwardv1.GetRepositoryRequest{Name: name})
	if knownErr != nil {
		return nil, knownErr
	}
	one := known.GetRepository()
	one.Conditions = append(one.Conditions, &keepwardv1.Condition{
		Code: errs.CodeOf(err), Severity: "warning", Subject: name, Hint: errs.HintOf(err),
		Text: "the figures of its packs and its mount path cannot be had now: " + err.Error(),
	})
	return &keepwardv1.RepositoryStats{Repository: one}, nil
}

func (c *console) repositoryPage(w http.ResponseWriter, r *http.Request, v *view) error {
	name := r.URL.Query().Get("repository")
	st, err := c.repositoryStats(r.Context(), name)
	if err != nil {
		return err
	}
	one := st.GetRepository()
	held, err := call(r.Context(), c.client.sessions.ListResources, &keepwardv1.ListResourcesRequest{Name: one.GetName()})
	if err != nil {
		return err
	}
	use, err := call(r.Context(), c.client.repositories.ListRepositoryDays, &keepwardv1.ListRepositoryDaysRequest{Name: name})
	if err != nil {
		return err
	}
	row := v.repository(one)
	marked := ""
	if t, ok := moment(st.GetMarked()); ok {
		marked = v.clock(t)
	}
	s := sheet{
		crumb: choice{"/repositories", "Repositories"}, heading: words.Safe(one.GetName()), of: one.GetStatus(), conditions: one.GetConditions(),
		offers: v.offers(one.GetName(), "edit-repository", "check-repository", "sweep-repository", "reconcile-repository", "rebuild-index", "detach-repository"),
	}
	s.sections = append(s.sections, section{facts: fields(
		"Use", row.used, "Free", row.free, "Points", row.points, "Files in them", some(st.GetLogicalFiles()), "Bytes in them", someSize(st.GetLogicalBytes()),
		"Deduplication", ratio(st.GetLogicalBytes(), st.GetRawBytes()), "Compression", ratio(st.GetRawBytes(), st.GetStoredBytes()),
		"Packs", some(one.GetPacks()), "Small packs", some(st.GetSmallPacks()), "Chunks", some(one.GetChunks()),
		"Needed at the last sweep", someSize(st.GetLiveBytes()), "Dead at the last sweep", someSize(st.GetDeadBytes()), "Last sweep marked", marked,
		"Parity", countIf(one.GetParity(), "%"), "Packs with parity", some(st.GetParityPacks()),
	)})
	s.sections = append(s.sections, v.useSection(use))
	s.sections = append(s.sections, section{title: "Where it lies", columns: columns("Host", "Path", "State", "Oldest proof"), rows: [][]cell{{say(one.GetTransport()), say(one.GetPath()), stated(one.GetStatus()), at(one.GetProof().GetOldest())}}})
	s.sections = append(s.sections, section{title: "How it is kept", facts: fields(
		"Tasks at once", number(int64(one.GetStreams())), "Of these writing", number(int64(one.GetWriters())), "Reads at most", words.Safe(one.GetReadLimit()), "Writes at most", words.Safe(one.GetWriteLimit()),
		"Retention and sweep run", words.Safe(one.GetMaintenance()), "Undelete within", duration(one.GetUndeleteGrace()), "Unprotected points go after", duration(one.GetUnprotectedAfter()),
		"Proved within", countIf(one.GetProofDays(), "days"), "Content of others is proved at", words.Safe(one.GetForeignProof()), "Compresses harder", words.Safe(one.GetRecompress()),
	)})
	s.sections = append(s.sections, v.resourceSection("In use", held.GetResources()))
	if p := v.proofFacts(one.GetProof()); len(p) > 0 {
		s.sections = append(s.sections, section{title: "Proof", facts: p})
	}
	ages := section{title: "Age of proofs", columns: columns("Proved", ">Packs", ">Size"), empty: "There is no pack yet."}
	for _, a := range st.GetProofs() {
		ages.rows = append(ages.rows, []cell{say(proofAge(a)), say(words.Count(a.GetPacks())), say(words.Size(a.GetBytes()))})
	}
	if bar, ok := proofBar(st.GetProofs()); ok {
		ages.picture = shareBars([]shareBar{bar})
	}
	computers := section{title: "By computer", columns: columns("Computer", ">Points", ">Newest", "~>All together"), empty: "There is no point yet."}
	for _, a := range st.GetComputers() {
		computers.rows = append(computers.rows, []cell{leads(a.GetComputer(), computerLink(a.GetComputer())), say(words.Count(a.GetPoints())), say(words.Size(a.GetNewestBytes())), say(words.Size(a.GetLogicalBytes()))})
	}
	jobs := section{title: "By job", columns: columns("Job", ">Points", ">Newest", "~>Stored"), empty: "There is no point yet."}
	for _, a := range st.GetJobs() {
		jobs.rows = append(jobs.rows, []cell{leads(a.GetJob(), jobLink("/jobs/show", a.GetJob())), say(words.Count(a.GetPoints())), say(words.Size(a.GetNewestBytes())), say(words.Size(a.GetStoredBytes()))})
	}
	s.sections = append(s.sections, ages, computers, jobs)
	if v.mayCall(v1.RepositoryServiceListRepositoryKeysProcedure) {
		keys, err := c.keySection(r, v, one.GetName())
		if err != nil {
			return err
		}
		s.sections = append(s.sections, keys)
	}
	c.showSheet(w, r, v, "repositories", s)
	return nil
}

// resourceSection lists resources with who holds and who waits for them.
func (v *view) resourceSection(title string, list []*keepwardv1.Resource) section {
	s := section{title: title, columns: columns("Resource", "~Kind", ">Used", "Held by", "~Waiting"), empty: "Nothing is in use."}
	for _, one := range list {
		row := []cell{say(one.GetLabel()), say(one.GetKind()), say(number(int64(one.GetUsed())) + " of " + number(int64(one.GetCapacity()))), {}, say(v.holders(one.GetWaiters()))}
		if one.GetCapacity() == 0 {
			row[2].text = number(int64(one.GetUsed()))
		}
		row[3] = say(v.holders(one.GetHolders()))
		if h := one.GetHolders(); len(h) == 1 {
			row[3].to = "/sessions/" + number(h[0].GetSession())
		}
		if one.GetDown() != nil {
			row[0].sub = v.says(one.GetDown().GetText())
		}
		s.rows = append(s.rows, row)
	}
	return s
}

// holders names the sessions of a list.
func (v *view) holders(list []*keepwardv1.Holder) string {
	var out []string
	for _, h := range list {
		out = append(out, strings.TrimSpace("session "+number(h.GetSession())+" "+h.GetJob()))
	}
	return words.Few(out)
}

func (c *console) resourceList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.sessions.ListResources, &keepwardv1.ListResourcesRequest{})
	if err != nil {
		return err
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Resources", live: true, sections: []section{v.resourceSection("", m.GetResources())}})
	return nil
}

func readRepository(d *doing) (*keepwardv1.Repository, error) {
	m, err := call(d, d.c.repositories.GetRepository, &keepwardv1.GetRepositoryRequest{Name: d.of})
	return m.GetRepository(), err
}

// repositoryDeed starts a session of a repository.
func repositoryDeed(name, verb, procedure string, comes []string, inputs []entry, start func(d *doing) (*keepwardv1.StartSessionResponse, error)) deed {
	return deed{
		name: name, verb: verb, procedure: procedure, part: "repositories",
		ask: func(d *doing) (form, error) {
			one, err := readRepository(d)
			row := d.v.repository(one)
			return form{
				about: "repository " + d.of, back: repositoryLink(d.of), facts: fields("Use", row.used, "Free", row.free, "State", one.GetStatus()),
				comes: comes, inputs: append([]entry(nil), inputs...),
			}, err
		},
		do: func(d *doing) (done, error) {
			m, err := start(d)
			return done{to: "/sessions/" + number(m.GetSession())}, err
		},
	}
}

// counted reads a number of an input; nothing is 0.
func (d *doing) counted(label, name string) (int32, error) {
	text := d.text(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, errs.New(errs.Invalid, "", "%s: %q is no number", label, text)
	}
	return int32(n), nil
}

// sameChoices are words that are shown as they are.
func sameChoices(list ...string) (out []choice) {
	for _, word := range list {
		out = append(out, choice{word, word})
	}
	return out
}

var repositoryDeeds = []deed{
	{
		name: "edit-repository", verb: "Edit", procedure: v1.RepositoryServiceEditRepositoryProcedure, part: "repositories",
		ask: func(d *doing) (form, error) {
			one, err := readRepository(d)
			return form{
				about: "repository " + d.of, back: repositoryLink(d.of), facts: fields("Where", words.Safe(one.GetTransport()+":"+one.GetPath())),
				thing: &keepwardv1.Repository{
					Streams: one.GetStreams(), Writers: one.GetWriters(), ReadLimit: one.GetReadLimit(), WriteLimit: one.GetWriteLimit(), Maintenance: one.GetMaintenance(), ProofDays: one.GetProofDays(),
					UndeleteGrace: one.GetUndeleteGrace(), UnprotectedAfter: one.GetUnprotectedAfter(), Parity: one.GetParity(), Recompress: one.GetRecompress(), ForeignProof: one.GetForeignProof(),
				},
				comes: []string{"Numbers and limits hold at once, for what runs too.", "With fewer tasks at once those that run go on; the next ones wait."},
				inputs: []entry{
					written(inText, "streams", "Tasks at once", number(int64(one.GetStreams())), ""), written(inText, "writers", "Of these writing", number(int64(one.GetWriters())), ""),
					written(inText, "read", "Reads at most", one.GetReadLimit(), "All its tasks together, such as 100MB/s. Nothing: no bound."), written(inText, "write", "Writes at most", one.GetWriteLimit(), "The same."),
					written(inText, "maintenance", "Retention and sweep run", one.GetMaintenance(), "As a schedule of a job, or never."),
					written(inText, "proof", "Proved within days", number(int64(one.GetProofDays())), "Everything is proved again within so many days; 0: nobody asks."),
					written(inText, "grace", "Undelete within", words.FormatDuration(one.GetUndeleteGrace().AsDuration()), "How long a deleted restore point can be had back, such as 3d. 0s: not at all."),
					written(inText, "unprotected", "Unprotected points go after", words.FormatDuration(one.GetUnprotectedAfter().AsDuration()), "Of computers that no job names any more, such as 90d. 0s: never."),
					written(inText, "parity", "Parity", number(int64(one.GetParity())), "Percent of each pack, by which a check mends it; up to 25."),
					written(inChoice, "recompress", "Compresses harder", one.GetRecompress(), "What was compressed fast, while nothing else works on it.", sameChoices(job.DefaultRecompress, job.RecompressNever)...),
					written(inChoice, "foreign", "Content of others is proved at", one.GetForeignProof(), "When a chunk that another computer stored is proved before it is relied on.", sameChoices(job.DefaultForeignProof, job.ForeignProofArrival, job.ForeignProofNever)...),
				},
			}, err
		},
		do: func(d *doing) (done, error) {
			req := &keepwardv1.EditRepositoryRequest{Name: d.of}
			one, err := readRepository(d)
			if err != nil {
				return done{}, err
			}
			for _, n := range []struct {
				label, name string
				now         int32
				put         **int32
			}{
				{"tasks at once", "streams", one.GetStreams(), &req.Streams}, {"of these writing", "writers", one.GetWriters(), &req.Writers}, {"proved within days", "proof", one.GetProofDays(), &req.ProofDays}, {"parity", "parity", one.GetParity(), &req.Parity},
			} {
				value, err := d.counted(n.label, n.name)
				if err != nil {
					return done{}, err
				}
				if value != n.now {
					*n.put = &value
				}
			}
			for _, s := range []struct {
				name, now string
				put       **string
			}{{"read", one.GetReadLimit(), &req.ReadLimit}, {"write", one.GetWriteLimit(), &req.WriteLimit}, {"maintenance", one.GetMaintenance(), &req.Maintenance}, {"recompress", one.GetRecompress(), &req.Recompress}, {"foreign", one.GetForeignProof(), &req.ForeignProof}} {
				if value := d.text(s.name); value != s.now {
					*s.put = &value
				}
			}
			for _, t := range []struct {
				label, name string
				now         *durationpb.Duration
				put         **durationpb.Duration
			}{{"undelete within", "grace", one.GetUndeleteGrace(), &req.UndeleteGrace}, {"unprotected points go after", "unprotected", one.GetUnprotectedAfter(), &req.UnprotectedAfter}} {
				value, err := durationOf(t.label, d.text(t.name))
				if err != nil {
					return done{}, err
				}
				if value != t.now.AsDuration() {
					*t.put = durationpb.New(value)
				}
			}
			_, err = call(d, d.c.repositories.EditRepository, req)
			return done{to: repositoryLink(d.of)}, err
		},
	},
	repositoryDeed(
		"check-repository", "Check", v1.RepositoryServiceCheckRepositoryProcedure,
		[]string{"A session looks that all is there that points need; with the data, it reads and compares it with its hashes, the oldest proof first.", "It gives way to backups and restores, and can be paused."},
		[]entry{
			written(inCheck, "data", "Read and compare the data too", "", ""), written(inText, "budget", "Stop after", "", "Such as 2h; behind the pack that is being read. Nothing: when it is done."),
			written(inText, "older", "Only what was not proved for", "", "Such as 30d. Nothing: all."),
		},
		func(d *doing) (*keepwardv1.StartSessionResponse, error) {
			req := &keepwardv1.CheckRepositoryRequest{Name: d.of, ReadData: d.on("data")}
			budget, err := durationOf("Stop after", d.text("budget"))
			if err != nil {
				return nil, err
			}
			older, err := durationOf("Only what was not proved for", d.text("older"))
			if err != nil {
				return nil, err
			}
			if budget > 0 {
				req.Budget = durationpb.New(budget)
			}
			if older > 0 {
				req.OlderThan = durationpb.New(older)
			}
			return call(d, d.c.repositories.CheckRepository, req)
		},
	),
	repositoryDeed(
		"sweep-repository", "Sweep", v1.RepositoryServiceSweepRepositoryProcedure,
		[]string{"A session gives back the space of what no point needs any more. Points that were deleted and whose grace time is over are gone for good then.", "With compaction it writes packs anew that hold something dead, whatever that costs."},
		[]entry{written(inCheck, "dry", "Only tell what would be done", "", ""), written(inCheck, "compact", "Compact too", "", "")},
		func(d *doing) (*keepwardv1.StartSessionResponse, error) {
			return call(d, d.c.repositories.SweepRepository, &keepwardv1.SweepRepositoryRequest{Name: d.of, DryRun: d.on("dry"), Compact: d.on("compact")})
		},
	),
	repositoryDeed(
		"reconcile-repository", "Reconcile", v1.RepositoryServiceReconcileRepositoryProcedure,
		[]string{"A session names packs that no index knows, and rows of the index that have no pack. It changes nothing that a point needs."}, nil,
		func(d *doing) (*keepwardv1.StartSessionResponse, error) {
			return call(d, d.c.repositories.ReconcileRepository, &keepwardv1.ReconcileRepositoryRequest{Name: d.of})
		},
	),
	repositoryDeed(
		"rebuild-index", "Rebuild index", v1.RepositoryServiceRebuildIndexProcedure,
		[]string{"A session makes the index anew of all packs. Nothing else writes to the repository meanwhile.", "It is for an index that is damaged; a check says so."}, nil,
		func(d *doing) (*keepwardv1.StartSessionResponse, error) {
			return call(d, d.c.repositories.RebuildIndex, &keepwardv1.RebuildIndexRequest{Name: d.of})
		},
	),
}
