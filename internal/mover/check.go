package mover

import (
	"context"
	"fmt"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/seal"
)

// check looks at the whole repository, repairs what can be repaired without losing
// anything, and reports what is damaged.
func (t *task) check(ctx context.Context, end *keepwardv1.AttemptEnd) error {
	t.enter("check")
	opts := repo.CheckOptions{
		ReadData: t.order.GetStart().GetReadData(),
		Repair:   true,
		Attempt:  t.order.attempt,
		Keys:     t.keys,
		Progress: func(done, total int64) {
			t.count(func(c *keepwardv1.Counters) {
				c.DoneBytes, c.ReadBytes, c.TotalBytes = max(c.GetDoneBytes(), done), max(c.GetReadBytes(), done), total
			})
		},
	}
	k := t.order.GetStart().GetKeys()
	var err error
	if opts.IssueKey, err = optionalKey("issue key", k.GetIssueKey()); err != nil {
		return err
	}
	computers, err := optionalKey("computers key", k.GetComputersKey())
	if err != nil {
		return err
	}
	opts.ComputersKey = (*seal.ComputersKey)(computers)
	report, err := t.repo.Check(ctx, opts)
	if err != nil {
		return err
	}
	end.Check = toReport(&report)
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
	if r.ProvedChunks > 0 {
		text += fmt.Sprintf("; opened %d chunks and compared their %d bytes of content with their hashes", r.ProvedChunks, r.ProvedBytes)
	}
	return text
}

func findingText(f *keepwardv1.CheckFinding) string {
	text := fmt.Sprintf("%s %s: %s", f.GetObject(), f.GetName(), f.GetText())
	if f.GetChunk() != "" {
		text = fmt.Sprintf("chunk %s in %s: %s", f.GetChunk(), f.GetName(), f.GetText())
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
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		c := &keepwardv1.CheckFinding{
			Object: f.Object, Name: f.Name, Chunk: f.Chunk, Text: f.Text,
			Repaired: f.Repaired, AffectedTotal: f.AffectedTotal, Code: f.Code,
		}
		for _, a := range f.Affected {
			c.Affected = append(c.Affected, &keepwardv1.AffectedFile{Point: a.Point.String(), Computer: a.Computer, Path: a.Path})
		}
		out.Findings = append(out.Findings, c)
	}
	return out
}
