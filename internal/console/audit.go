package console

import (
	"net/http"
	"strconv"
	"strings"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/words"
)

// auditShown is how many calls a page of the audit log has.
const auditShown = 100

// auditFilter is which calls are shown.
type auditFilter struct{ user, call, before string }

func (f auditFilter) link(before string) string {
	return link("/audit", "user", f.user, "call", f.call, "before", before)
}

// auditList is who called what, the newest first.
func (c *console) auditList(w http.ResponseWriter, r *http.Request, v *view) error {
	q := r.URL.Query()
	f := auditFilter{q.Get("user"), q.Get("call"), q.Get("before")}
	t := section{columns: columns("Time", "User", "Call", "~Service", "Outcome", "~From"), empty: "No call passes."}
	if !v.mayCall(v1.AuditServiceListAuditProcedure) {
		t.empty = "Who called what is for administrators."
		c.showSheet(w, r, v, "server", sheet{heading: "Audit log", sections: []section{t}})
		return nil
	}
	req := &keepwardv1.ListAuditRequest{User: f.user, Call: f.call, Limit: auditShown + 1}
	if n, err := strconv.ParseUint(f.before, 10, 64); err == nil {
		req.Before = n
	}
	m, err := call(r.Context(), c.client.audit.ListAudit, req)
	if err != nil {
		return err
	}
	calls, older := m.GetCalls(), ""
	if len(calls) > auditShown {
		calls = calls[:auditShown]
		older = f.link(strconv.FormatUint(calls[auditShown-1].GetNumber(), 10))
	}
	for _, one := range calls {
		outcome := say(one.GetOutcome())
		if one.GetOutcome() == "" {
			outcome = say("not known")
			outcome.sub = "it goes on, or the server ended first"
		}
		if n := one.GetTimes(); n > 1 {
			outcome.sub = words.Plural(int64(n), "time")
		}
		who := say(string(one.GetUser()))
		who.sub = words.Safe(one.GetRole())
		service, method, ok := strings.Cut(one.GetCall(), "/")
		if !ok {
			service, method = "", one.GetCall()
		}
		named := namedWords(one.GetNamed())
		if answered := namedWords(one.GetAnswered()); answered != "" {
			named += " → " + answered
		}
		what := say(method)
		what.sub = words.Safe(named)
		t.rows = append(t.rows, []cell{at(one.GetTime()), who, what, say(service), outcome, say(one.GetAddress())})
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Audit log", sections: []section{{
		note: "Every call that changes something or reads backup data, and every refused one. That no row was altered or taken out shows 'keepward audit verify'.", picture: auditForm(f),
	}, t, {picture: auditPages(f, older)}}})
	return nil
}

// namedWords is what a call named, on one line.
func namedWords(list []*keepwardv1.AuditNamed) string {
	var out []string
	for _, n := range list {
		out = append(out, n.GetField()+"="+string(n.GetValue()))
	}
	return strings.Join(out, ", ")
}
