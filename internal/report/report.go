package report

import (
	"bytes"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// How much of each list is told; of the rest their number.
const (
	failedMost     = 20
	conditionsMost = 30
	// ComputersMost is how many computers the picture has.
	ComputersMost = 40
)

// Facts are what a report tells. Lists have the most urgent first, and may be longer than what is told.
type Facts struct {
	Server, Group string    // Group empty: the whole site
	From, To      time.Time // in the zone of the report
	Console       string    // where browsers reach the console; empty: nobody said
	// Sessions that ended between the two, by result, and those that failed.
	Success, Warning, Failed int64
	FailedSessions           []*keepwardv1.Session
	// Computers that are protected and not, and how the worst were protected day by day.
	Computers, Unprotected int64
	Days                   *keepwardv1.ListProtectionDaysResponse
	Conditions             []*keepwardv1.Condition
	Repositories           []Repository // of the whole site only
}

// Repository is one with how much more it holds than when the period began; bytes.
type Repository struct {
	*keepwardv1.Repository
	More int64
}

// Report is a report, written. HTML shows Picture, a PNG, as cid:days; there is none without computers.
type Report struct {
	Subject, Text, HTML string
	Picture             []byte
}

// Write writes a report. Everything in it can be shown: names that hold control characters and the like
// stand there with escapes.
func Write(f Facts) (Report, error) {
	v := viewOf(f)
	r := Report{Subject: v.Subject}
	if len(f.Days.GetComputers()) > 0 {
		picture, err := draw(f.Days)
		if err != nil {
			return r, err
		}
		r.Picture = picture.png
		v.Width, v.Height = picture.width, picture.height
	}
	var text, html bytes.Buffer
	if err := textTemplate.Execute(&text, v); err != nil {
		return r, fmt.Errorf("write report as text: %w", err)
	}
	if err := htmlTemplate.Execute(&html, v); err != nil {
		return r, fmt.Errorf("write report as HTML: %w", err)
	}
	r.Text, r.HTML = text.String(), html.String()
	return r, nil
}

// view is a report as the templates fill it in.
type view struct {
	Subject, Heading, Period, Console string
	Good                              bool // nothing needs anybody
	Sessions, Computers, Holes        string
	Failed, Conditions                []line
	MoreFailed, MoreConditions        string
	Days                              []line
	DaysFrom, DaysTo, MoreDays        string
	Repositories                      []place
	Width, Height                     int
}

// line is something that is told, with what stands before and below it.
type line struct{ What, Text, Hint string }

// place is a repository.
type place struct{ Name, Status, Used, Free, More, Full, Debt string }

const shownTime = "Mon 2 Jan 2006 15:04 MST"

func viewOf(f Facts) view {
	of := words.Safe(f.Server)
	if f.Group != "" {
		of = "group " + words.Safe(f.Group) + " of " + of
	}
	v := view{
		Heading: "Backups of " + of, Console: f.Console,
		Period:    f.From.Format(shownTime) + " to " + f.To.Format(shownTime),
		Sessions:  fmt.Sprintf("%s completed, %s with warnings, %s failed", words.Count(f.Success), words.Count(f.Warning), words.Count(f.Failed)),
		Computers: fmt.Sprintf("%s of %s protected", words.Count(f.Computers-f.Unprotected), words.Plural(f.Computers, "computer")),
	}
	for _, s := range f.FailedSessions[:min(len(f.FailedSessions), failedMost)] {
		one := line{What: fmt.Sprintf("session %d", s.GetId()), Text: words.Safe(strings.TrimSpace(s.GetType() + " " + s.GetJob())), Hint: words.Safe(s.GetFailure().GetMessage())}
		if t := s.GetEnded(); t != nil {
			one.What += ", " + t.AsTime().In(f.To.Location()).Format("Mon 15:04")
		}
		v.Failed = append(v.Failed, one)
	}
	v.MoreFailed = more(f.Failed, len(v.Failed), "failed session")
	for _, c := range f.Conditions[:min(len(f.Conditions), conditionsMost)] {
		v.Conditions = append(v.Conditions, line{What: words.Safe(c.GetSeverity()), Text: words.Safe(c.GetText()), Hint: words.Safe(c.GetHint())})
	}
	v.MoreConditions = more(int64(len(f.Conditions)), len(v.Conditions), "condition")
	if d := f.Days; len(d.GetComputers()) > 0 {
		v.DaysFrom, v.DaysTo = d.GetFirst(), d.GetLast()
		v.Holes = "No computer is without a restore point for a whole day or more."
		if n := d.GetWithHole(); n > 0 {
			v.Holes = fmt.Sprintf("%s of %s without a restore point for a whole day or more.", words.Count(n), words.Plural(d.GetFound(), "computer"))
		}
		for _, c := range d.GetComputers() {
			one := line{What: words.Safe(c.GetComputer()), Text: words.DayLetters(c.GetResults())}
			if c.GetHoleDays() > 0 {
				one.Hint = "without for " + words.Plural(int64(c.GetHoleDays()), "day")
			}
			v.Days = append(v.Days, one)
		}
		v.MoreDays = more(d.GetFound(), len(v.Days), "computer")
	}
	for _, r := range f.Repositories {
		p := place{
			Name: words.Safe(r.GetName()), Status: words.Safe(r.GetStatus()), Used: words.Size(r.GetSizeBytes()), Free: words.Size(r.GetFreeBytes()),
			More: words.Change(r.More), Full: words.FullAbout(r.GetGrowth()),
		}
		if n := r.GetProof().GetDuePacks(); n > 0 && r.GetProofDays() > 0 {
			p.Debt = words.Plural(n, "pack") + ", " + words.Size(r.GetProof().GetDueBytes())
		}
		v.Repositories = append(v.Repositories, p)
	}
	v.Good = f.Failed == 0 && f.Unprotected == 0 && len(f.Conditions) == 0
	state := "all is well"
	if !v.Good {
		state = fmt.Sprintf("%s failed, %s not protected, %s", words.Count(f.Failed), words.Count(f.Unprotected), words.Plural(int64(len(f.Conditions)), "condition"))
	}
	v.Subject = "[Keepward] " + of + ", " + f.To.Format("Mon 2 Jan") + ": " + state
	return v
}

// more says how many there are that are not told; empty: none.
func more(all int64, told int, thing string) string {
	if n := all - int64(told); n > 0 {
		return "and " + words.Plural(n, "more "+thing)
	}
	return ""
}

var textTemplate = template.Must(template.New("").Parse(`{{.Heading}}
{{.Period}}

Sessions:  {{.Sessions}}
Computers: {{.Computers}}
{{if .Good}}
Nothing needs anybody.
{{end}}{{if .Failed}}
FAILED
{{range .Failed}}  {{.What}}: {{.Text}}
{{if .Hint}}    {{.Hint}}
{{end}}{{end}}{{if .MoreFailed}}  {{.MoreFailed}}
{{end}}{{end}}{{if .Conditions}}
NEEDS ATTENTION
{{range .Conditions}}  {{.What}}: {{.Text}}
{{if .Hint}}    What to do: {{.Hint}}
{{end}}{{end}}{{if .MoreConditions}}  {{.MoreConditions}}
{{end}}{{end}}{{if .Days}}
DAY BY DAY, {{.DaysFrom}} to {{.DaysTo}} (UTC)
{{.Holes}}
+ success, w with warnings, p not all of it, F failed, . no backup
{{range .Days}}  {{.Text}}  {{.What}}{{if .Hint}}, {{.Hint}}{{end}}
{{end}}{{if .MoreDays}}  {{.MoreDays}}
{{end}}{{end}}{{if .Repositories}}
REPOSITORIES
{{range .Repositories}}  {{.Name}}: {{.Status}}, holds {{.Used}} ({{.More}}), free {{.Free}}{{if .Full}}, full about {{.Full}}{{end}}{{if .Debt}}, not proved in time: {{.Debt}}{{end}}
{{end}}{{end}}{{if .Console}}
{{.Console}}
{{end}}`))

// htmlTemplate has its looks at each element: mail programs take little else.
var htmlTemplate = htmltemplate.Must(htmltemplate.New("").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Subject}}</title></head>
<body style="margin:0;padding:16px;background:#ffffff;color:#1d2428;font:15px/1.45 sans-serif">
<div style="max-width:760px;margin:0 auto">
<h1 style="font-size:20px;margin:0 0 4px">{{.Heading}}</h1>
<p style="margin:0 0 16px;color:#5a656c">{{.Period}}</p>
<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;margin:0 0 16px">
<tr><th style="text-align:left;font-weight:normal;color:#5a656c;padding:2px 16px 2px 0">Sessions</th><td>{{.Sessions}}</td></tr>
<tr><th style="text-align:left;font-weight:normal;color:#5a656c;padding:2px 16px 2px 0">Computers</th><td>{{.Computers}}</td></tr>
</table>
{{if .Good}}<p style="margin:0 0 16px;color:#1c6b3a"><strong>Nothing needs anybody.</strong></p>{{end}}
{{if .Failed}}<h2 style="font-size:16px;margin:16px 0 6px">Failed</h2>
<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%">
{{range .Failed}}<tr><td style="vertical-align:top;padding:4px 16px 4px 0;white-space:nowrap;color:#a3261b">{{.What}}</td><td style="padding:4px 0;border-bottom:1px solid #e3e7e9">{{.Text}}{{if .Hint}}<br><span style="color:#5a656c">{{.Hint}}</span>{{end}}</td></tr>
{{end}}</table>{{if .MoreFailed}}<p style="color:#5a656c">{{.MoreFailed}}</p>{{end}}{{end}}
{{if .Conditions}}<h2 style="font-size:16px;margin:16px 0 6px">Needs attention</h2>
<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%">
{{range .Conditions}}<tr><td style="vertical-align:top;padding:4px 16px 4px 0;white-space:nowrap;color:#8a4b00">{{.What}}</td><td style="padding:4px 0;border-bottom:1px solid #e3e7e9">{{.Text}}{{if .Hint}}<br><span style="color:#5a656c">What to do: {{.Hint}}</span>{{end}}</td></tr>
{{end}}</table>{{if .MoreConditions}}<p style="color:#5a656c">{{.MoreConditions}}</p>{{end}}{{end}}
{{if .Width}}<h2 style="font-size:16px;margin:16px 0 6px">Day by day</h2>
<p style="margin:0 0 6px">{{.Holes}}</p>
<img src="cid:days" width="{{.Width}}" height="{{.Height}}" style="max-width:100%;height:auto" alt="Computers day by day, {{.DaysFrom}} to {{.DaysTo}}: the text of this mail has it in letters">
{{if .MoreDays}}<p style="color:#5a656c">{{.MoreDays}}</p>{{end}}{{end}}
{{if .Repositories}}<h2 style="font-size:16px;margin:16px 0 6px">Repositories</h2>
<table cellpadding="0" cellspacing="0" style="border-collapse:collapse;width:100%">
<tr style="color:#5a656c;text-align:left"><th style="font-weight:normal">Name</th><th style="font-weight:normal">State</th><th style="font-weight:normal">Holds</th><th style="font-weight:normal">Change</th><th style="font-weight:normal">Free</th><th style="font-weight:normal">Full about</th><th style="font-weight:normal">Proof debt</th></tr>
{{range .Repositories}}<tr><td style="padding:4px 12px 4px 0;border-bottom:1px solid #e3e7e9">{{.Name}}</td><td style="border-bottom:1px solid #e3e7e9">{{.Status}}</td><td style="border-bottom:1px solid #e3e7e9">{{.Used}}</td><td style="border-bottom:1px solid #e3e7e9">{{.More}}</td><td style="border-bottom:1px solid #e3e7e9">{{.Free}}</td><td style="border-bottom:1px solid #e3e7e9">{{.Full}}</td><td style="border-bottom:1px solid #e3e7e9">{{.Debt}}</td></tr>
{{end}}</table>{{end}}
{{if .Console}}<p style="margin:16px 0 0"><a href="{{.Console}}" style="color:#1c5a8a">{{.Console}}</a></p>{{end}}
</div></body></html>
`))
