package mover

import (
	"context"
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
)

// check looks at the repository as far as its order says, repairs what can be repaired without
// losing anything, and reports what is damaged.
func (t *task) check(ctx context.Context, end *keepwardv1.AttemptEnd) error {
	t.enter("check")
	opts, err := t.checkOptions()
	if err != nil {
		return err
	}
	report, err := t.repo.Check(ctx, opts)
	if err != nil {
		return err
	}
	end.Check = toReport(&report)
	t.count(func(c *keepwardv1.Counters) { c.ReadBytes = report.BytesRead })
	t.events.add("info", "check.done", checkText(&report))
	for i, f := range end.GetCheck().GetFindings() {
		level := "error"
		if f.GetRepaired() != "" {
			level = "warning"
		}
		t.count(func(c *keepwardv1.Counters) {
			if level == "error" {
				c.Errors++
			} else {
				c.Warnings++
			}
		})
		if i < maxEvents/2 {
			t.events.add(level, f.GetCode(), findingText(f))
		}
	}
	return nil
}

func (t *task) checkOptions() (repo.CheckOptions, error) {
	start := t.order.GetStart()
	o := start.GetCheck()
	opts := repo.CheckOptions{
		ReadData: start.GetReadData(), Repair: true, Attempt: t.order.attempt, Term: start.GetOrder().GetTerm(), Keys: t.keys,
		OlderThan: o.GetOlderThan().AsDuration(), Sample: o.GetSample(), ProofDays: int(o.GetProofDays()),
		Budget: o.GetBudget().AsDuration(), Rate: o.GetRate(), Scratch: t.order.GetDirectory(),
		Progress: func(done, total int64) {
			t.count(func(c *keepwardv1.Counters) {
				c.DoneBytes, c.TotalBytes = max(c.GetDoneBytes(), done), total
				if start.GetReadData() { // else most packs are only looked for
					c.ReadBytes = max(c.GetReadBytes(), done)
				}
			})
		},
	}
	// Without a time nothing is recorded: this host's clock may say anything.
	if o.GetTime() != nil {
		opts.Time = o.GetTime().AsTime()
	}
	if o.GetSince() != nil {
		opts.Since = o.GetSince().AsTime()
	}
	var err error
	if opts.IssueKey, err = optionalKey("issue key", start.GetKeys().GetIssueKey()); err != nil {
		return opts, err
	}
	computers, err := optionalKey("computers key", start.GetKeys().GetComputersKey())
	opts.ComputersKey = (*seal.ComputersKey)(computers)
	return opts, err
}

// provingKeys are those with which a backup opens what other computers stored before it relies
// on it; without any it relies on nothing that is not proved.
func (t *task) provingKeys() *seal.Keys {
	if t.order.GetStart().GetForeignProof() == job.ForeignProofNever {
		return nil
	}
	return t.keys
}

// rebuild publishes index segments for packs that no segment names.
func (t *task) rebuild(ctx context.Context, end *keepwardv1.AttemptEnd) error {
	t.enter("rebuild index")
	n, err := t.repo.RebuildIndex(ctx)
	if err != nil {
		return err
	}
	end.Check = &keepwardv1.CheckReport{Segments: int64(n)}
	t.events.add("info", "index.rebuilt", fmt.Sprintf("published %d index segments", n))
	return nil
}

func optionalKey(name string, b []byte) (*seal.Secret, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) != len(seal.Secret{}) {
		return nil, errs.New(errs.Invalid, "order.keys", "read keys of order: the %s has %d bytes", name, len(b))
	}
	s := seal.Secret(b)
	return &s, nil
}

// checkText says how far a check went.
func checkText(r *repo.Report) string {
	text := fmt.Sprintf("looked at %d points, %d packs of %d chunks and %d index segments; read %d bytes", r.Points, r.Packs, r.Chunks, r.Segments, r.BytesRead)
	if r.ProvedPacks > 0 {
		text += fmt.Sprintf("; read %d packs whole", r.ProvedPacks)
	}
	if r.LeftPacks > 0 {
		text += fmt.Sprintf("; the time was over before %d packs of %d bytes", r.LeftPacks, r.LeftBytes)
	}
	if r.ProvedChunks > 0 {
		text += fmt.Sprintf("; opened %d chunks and compared their %d bytes of content with their hashes", r.ProvedChunks, r.ProvedBytes)
	}
	if r.MoreFindings > 0 {
		text += fmt.Sprintf("; %d more findings are not listed", r.MoreFindings)
	}
	return text
}

func findingText(f *keepwardv1.CheckFinding) string {
	text := fmt.Sprintf("%s %s: %s", f.GetObject(), f.GetName(), f.GetText())
	if f.GetChunk() != "" {
		text = fmt.Sprintf("chunk %s in %s: %s", f.GetChunk(), f.GetName(), f.GetText())
	}
	if f.GetOwner() != "" {
		text += "; stored by computer " + f.GetOwner()
	}
	if n := f.GetAffectedTotal(); n > 0 {
		text += fmt.Sprintf(" (needed by %d files)", n)
	}
	if f.GetRepaired() != "" {
		text += "; " + f.GetRepaired()
	}
	return text
}

func toReport(r *repo.Report) *keepwardv1.CheckReport {
	out := &keepwardv1.CheckReport{
		Packs: r.Packs, Chunks: r.Chunks, Points: r.Points, Segments: r.Segments,
		BytesRead: r.BytesRead, ProvedChunks: r.ProvedChunks, ProvedBytes: r.ProvedBytes,
		ProvedPacks: r.ProvedPacks, LeftPacks: r.LeftPacks, LeftBytes: r.LeftBytes, MoreFindings: r.MoreFindings,
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		c := &keepwardv1.CheckFinding{
			Object: f.Object, Name: f.Name, Chunk: f.Chunk, Text: f.Text,
			Repaired: f.Repaired, AffectedTotal: f.AffectedTotal, Code: f.Code, Owner: f.Owner,
		}
		for _, a := range f.Affected {
			c.Affected = append(c.Affected, &keepwardv1.AffectedFile{Point: a.Point.String(), Computer: a.Computer, Path: a.Path})
		}
		out.Findings = append(out.Findings, c)
	}
	return out
}
