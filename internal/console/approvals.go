package console

import (
	"fmt"
	"net/http"
	"strconv"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// approvalList is what administrators ask each other to approve.
func (c *console) approvalList(w http.ResponseWriter, r *http.Request, v *view) error {
	if !v.mayCall(v1.ApprovalServiceListApprovalsProcedure) {
		c.showSheet(w, r, v, "server", sheet{heading: "Approvals", sections: []section{{columns: columns("Asked by", "To do what"), empty: "What administrators ask each other to approve is for administrators."}}})
		return nil
	}
	m, err := call(r.Context(), c.client.approvals.ListApprovals, &keepwardv1.ListApprovalsRequest{})
	if err != nil {
		return err
	}
	waiting := section{title: "Waiting", columns: columns("~Nr", "Asked by", "To do what", "~Asked", "~Until", "Actions"), empty: "Nothing waits for a decision."}
	decided := section{title: "Decided", columns: columns("~Nr", "State", "Asked by", "To do what", "~Decided", "~By"), empty: "Nothing was decided yet."}
	if !m.GetOn() {
		waiting.note = "Nothing is asked for: the setting second_person is off. Switched on, what takes protection away for good needs a second administrator."
	}
	for _, one := range m.GetApprovals() {
		id := strconv.FormatInt(one.GetId(), 10)
		if one.GetState() == "waiting" {
			names := []string{"grant-approval", "refuse-approval"}
			if one.GetUser() == v.caller.GetUser().GetName() {
				names = []string{"withdraw-approval"}
			}
			waiting.rows = append(waiting.rows, []cell{say(id), say(one.GetUser()), {text: v.says(one.GetWhat())}, at(one.GetAsked()), at(one.GetExpires()), doable(v.offers(id, names...))})
			continue
		}
		state, by := stated(one.GetState()), say(one.GetDecidedBy())
		switch {
		case one.GetError() != "":
			state.sub = v.says(one.GetError())
		case one.GetState() == "granted":
			state.sub = words.Safe(one.GetUser() + " does it now, once")
		}
		by.sub = words.Safe(one.GetNote())
		decided.rows = append(decided.rows, []cell{say(id), state, say(one.GetUser()), {text: v.says(one.GetWhat())}, at(one.GetDecided()), by})
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Approvals", sections: []section{waiting, decided}})
	return nil
}

func readApproval(d *doing) (*keepwardv1.Approval, error) {
	id, err := strconv.ParseInt(d.of, 10, 64)
	if err != nil {
		return nil, errs.New(errs.NotFound, "", "there is no approval %q", d.of)
	}
	m, err := call(d, d.c.approvals.GetApproval, &keepwardv1.GetApprovalRequest{Id: id})
	return m.GetApproval(), err
}

// decision is the form of a deed on what waits.
func decision(comes func(a *keepwardv1.Approval) string, inputs ...entry) func(d *doing) (form, error) {
	return func(d *doing) (form, error) {
		a, err := readApproval(d)
		if err != nil {
			return form{}, err
		}
		f := form{
			about: "approval " + d.of, back: "/approvals", comes: []string{comes(a)}, inputs: inputs,
			facts: fields("Asked by", words.Safe(a.GetUser()), "To do what", d.v.says(a.GetWhat()), "Asked", d.v.clock(a.GetAsked().AsTime()), "Until", d.v.clock(a.GetExpires().AsTime()), "Call", words.Safe(a.GetCall())),
		}
		if a.GetState() != "waiting" {
			f.missing = fmt.Sprintf("It is %s: there is nothing to decide any more.", a.GetState())
		}
		return f, nil
	}
}

func refused(d *doing) (done, error) {
	a, err := readApproval(d)
	if err != nil {
		return done{}, err
	}
	_, err = call(d, d.c.approvals.RefuseApproval, &keepwardv1.RefuseApprovalRequest{Id: a.GetId(), Note: d.text("note")})
	return done{to: "/approvals"}, err
}

var approvalDeeds = []deed{
	{
		name: "grant-approval", verb: "Approve", procedure: v1.ApprovalServiceGrantApprovalProcedure, part: "server", danger: true,
		ask: decision(func(a *keepwardv1.Approval) string {
			if a.GetAgain() {
				return fmt.Sprintf("User %s may do it once: it shows what nobody else may see.", a.GetUser())
			}
			return fmt.Sprintf("It is done at once, for user %s, unless it would do something else by now.", a.GetUser())
		}, written(inText, "note", "Note", "", "For who reads it later.")),
		do: func(d *doing) (done, error) {
			a, err := readApproval(d)
			if err != nil {
				return done{}, err
			}
			m, err := call(d, d.c.approvals.GrantApproval, &keepwardv1.GrantApprovalRequest{Id: a.GetId(), Note: d.text("note")})
			if why := m.GetApproval().GetError(); why != "" {
				err = errs.New(errs.Busy, "approval.failed", "it was approved, and could not be done: %s", why)
			}
			return done{to: "/approvals"}, err
		},
	},
	{
		name: "refuse-approval", verb: "Refuse", procedure: v1.ApprovalServiceRefuseApprovalProcedure, part: "server",
		ask: decision(func(a *keepwardv1.Approval) string {
			return fmt.Sprintf("Nothing is done; user %s sees that, and the note.", a.GetUser())
		}, written(inText, "note", "Note", "", "Why.")),
		do: refused,
	},
	{
		name: "withdraw-approval", verb: "Take back", procedure: v1.ApprovalServiceRefuseApprovalProcedure, part: "server",
		ask: decision(func(*keepwardv1.Approval) string { return "Nothing is done, and nobody needs to decide any more." }),
		do:  refused,
	},
}
