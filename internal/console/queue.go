package console

import (
	"net/http"
	"strconv"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// This file is what holds for the whole queue: the digits of priorities, and its pause.

// digitOf is a digit as it counts.
func digitOf(p *keepwardv1.PriorityDigit) string {
	if p.Digit != nil {
		return strconv.Itoa(int(p.GetDigit()))
	}
	return strconv.Itoa(int(p.GetDefault()))
}

func (c *console) prioritySection(r *http.Request, v *view) (section, error) {
	m, err := call(r.Context(), c.client.queue.ListPriorities, &keepwardv1.ListPrioritiesRequest{})
	t := section{
		title: "Priorities", note: "A priority has three digits, the lower number goes first: that of the job type, that of the computer, that of its agent.",
		offers: v.offers("", "set-priority"), columns: columns("Of", ">Digit", "~>Default", "Actions"), empty: "There is none.",
	}
	for _, p := range m.GetPriorities() {
		names := []string{"set-priority"}
		if p.Digit != nil {
			names = append(names, "reset-priority")
		}
		t.rows = append(t.rows, []cell{say(p.GetLevel()), say(digitOf(p)), say(strconv.Itoa(int(p.GetDefault()))), doable(v.offers(p.GetLevel(), names...))})
	}
	return t, err
}

// readPriority is the digit of a level; of a computer without its own it is the default.
func readPriority(d *doing, level string) (*keepwardv1.PriorityDigit, error) {
	m, err := call(d, d.c.queue.ListPriorities, &keepwardv1.ListPrioritiesRequest{})
	for _, p := range m.GetPriorities() {
		if p.GetLevel() == level {
			return p, nil
		}
	}
	if err == nil {
		err = errs.New(errs.NotFound, "", "there is no priority of %q", level)
	}
	return nil, err
}

var queueDeeds = []deed{
	{
		name: "set-priority", verb: "Set digit", procedure: v1.QueueServiceSetPriorityProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			f := form{about: d.of, back: "/windows", comes: []string{"It holds for sessions that begin after it: 0 goes first, 9 last."}}
			if d.of == "" {
				computers, err := d.computers()
				if err != nil {
					return f, err
				}
				var levels []choice
				for _, one := range computers {
					levels = append(levels, choice{shownText("computer/" + one.value), "computer " + words.Safe(one.label)})
				}
				first := ""
				if len(levels) > 0 {
					first = levels[0].value
				}
				f.about, f.inputs = "of a computer", []entry{{name: "level", kind: inChoice, label: "Of", choices: levels, values: listOf(first)}, written(inText, "digit", "Digit", "", "")}
				return f, nil
			}
			p, err := readPriority(d, d.of)
			if err != nil {
				return f, err
			}
			f.facts, f.thing = fields("Default", strconv.Itoa(int(p.GetDefault()))), p
			f.inputs = []entry{written(inText, "digit", "Digit", digitOf(p), "")}
			return f, nil
		},
		do: func(d *doing) (done, error) {
			level := d.of
			if level == "" {
				level = d.text("level")
			}
			n, err := strconv.ParseInt(d.text("digit"), 10, 32)
			if err != nil {
				return done{}, errs.New(errs.Invalid, "", "digit: %q is no digit from 0 (first) to 9 (last)", d.text("digit"))
			}
			digit := int32(n)
			_, err = call(d, d.c.queue.SetPriority, &keepwardv1.SetPriorityRequest{Level: level, Digit: &digit})
			return done{to: "/windows"}, err
		},
	},
	{
		name: "reset-priority", verb: "Give back the default", procedure: v1.QueueServiceSetPriorityProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			p, err := readPriority(d, d.of)
			if err != nil {
				return form{}, err
			}
			return form{about: d.of, back: "/windows", facts: fields("Digit", digitOf(p), "Default", strconv.Itoa(int(p.GetDefault()))), comes: []string{"It holds for sessions that begin after it."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.queue.SetPriority, &keepwardv1.SetPriorityRequest{Level: d.of})
			return done{to: "/windows"}, err
		},
	},
	{
		name: "pause-server", verb: "Pause the queue", procedure: v1.QueueServicePauseServerProcedure, part: "server", danger: true,
		ask: func(*doing) (form, error) {
			return form{back: "/windows", comes: []string{
				"Nothing leaves the queue until somebody lets it go on, also over a restart of the server: no backup starts, and no restore.",
				"What runs goes on.",
			}, inputs: []entry{written(inText, "reason", "Reason", "", "For those who wonder.")}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.queue.PauseServer, &keepwardv1.PauseServerRequest{Reason: d.text("reason")})
			return done{to: "/"}, err
		},
	},
	{
		name: "resume-server", verb: "Let the queue go on", procedure: v1.QueueServiceResumeServerProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{back: "/windows", comes: []string{"Sessions leave the queue again. Where it was not paused, nothing changes."}}, nil
		},
		do: func(d *doing) (done, error) {
			m, err := call(d, d.c.queue.ResumeServer, &keepwardv1.ResumeServerRequest{})
			did := done{to: "/windows"}
			if err == nil && m.GetWas() == nil {
				did.says = []string{"The server was not paused."}
			}
			return did, err
		},
	},
}
