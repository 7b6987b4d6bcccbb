package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/schedule"
	"keepward/internal/words"
)

const (
	weekDays = 7
	dayHours = 24
)

var (
	dayNames  = [weekDays]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	dayShorts = [weekDays]string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
)

// someMonday begins the week in which hours are looked at; in UTC no clock changes in it.
var someMonday = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// week is which hours of the week are open, as a form has them.
type week [weekDays][dayHours]bool

// weekOf is the week of a window. exact: it says all there is; else the hours begin or end within one.
func weekOf(open, closed []string) (w *week, exact bool) {
	o, err := schedule.ParseHours(open, time.UTC)
	if err != nil {
		return nil, false
	}
	c, err := schedule.ParseHours(closed, time.UTC)
	if err != nil {
		return nil, false
	}
	w = &week{}
	for day := range weekDays {
		for hour := range dayHours {
			t := someMonday.Add(time.Duration(day*dayHours+hour) * time.Hour)
			w[day][hour] = (o.Empty() || o.In(t)) && !c.In(t)
		}
	}
	end := someMonday.Add(weekDays * dayHours * time.Hour)
	for _, h := range []schedule.Hours{o, c} {
		for _, t := range h.Edges(someMonday, end) {
			if t.Truncate(time.Hour) != t {
				return w, false
			}
		}
	}
	return w, true
}

// hourValue is how a form names an hour.
func hourValue(day, hour int) string { return dayShorts[day] + "-" + strconv.Itoa(hour) }

// take reads the hours that a form has.
func (w *week) take(in url.Values) {
	for day := range weekDays {
		for hour := range dayHours {
			w[day][hour] = slices.Contains(in["hour"], hourValue(day, hour))
		}
	}
}

// stretches are the open hours of a day, as windows write them.
func stretches(row [dayHours]bool) string {
	var out []string
	for hour := 0; hour < dayHours; hour++ {
		if !row[hour] {
			continue
		}
		from := hour
		for hour < dayHours && row[hour] {
			hour++
		}
		out = append(out, clockOf(from)+"-"+clockOf(hour))
	}
	return strings.Join(out, ",")
}

func clockOf(hour int) string {
	if hour < 10 {
		return "0" + strconv.Itoa(hour) + ":00"
	}
	return strconv.Itoa(hour) + ":00"
}

// hours are the week as the hours of a window. A window without open hours is open always, so that one
// that never opens is closed daily.
func (w *week) hours() (open, closed []string) {
	var rows []string // each once, by the day that has it first
	for _, row := range w {
		if text := stretches(row); text != "" && !slices.Contains(rows, text) {
			rows = append(rows, text)
		}
	}
	all := stretches([dayHours]bool(slices.Repeat([]bool{true}, dayHours)))
	for _, text := range rows {
		var days []string
		for day, row := range w {
			if stretches(row) == text {
				days = append(days, dayShorts[day])
			}
		}
		name := daysText(days)
		if text == all && name == "daily" {
			return nil, nil
		}
		if text != all {
			name += " " + text
		}
		open = append(open, name)
	}
	if len(open) == 0 {
		return nil, []string{"daily"}
	}
	return open, nil
}

// daysText is daily, or days with those that follow each other as from and to.
func daysText(days []string) string {
	if len(days) == weekDays {
		return "daily"
	}
	first := slices.Index(dayShorts[:], days[0])
	if n := len(days); n > 2 && first+n <= weekDays && slices.Equal(dayShorts[first:first+n], days) {
		return days[0] + "-" + days[n-1]
	}
	return strings.Join(days, ",")
}

func (c *console) windowList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.queue.ListWindows, &keepwardv1.ListWindowsRequest{})
	if err != nil {
		return err
	}
	a, err := call(r.Context(), c.client.queue.ListActivities, &keepwardv1.ListActivitiesRequest{})
	if err != nil {
		return err
	}
	l, err := call(r.Context(), c.client.queue.ListLimits, &keepwardv1.ListLimitsRequest{})
	if err != nil {
		return err
	}
	t := section{
		title: "Windows", note: "All windows that concern a session must be open for it to run.", offers: v.offers("", "new-window"),
		columns: columns("Window", "State", "Until", "~Open", "~For", "~Activities", "Actions"), empty: "There is no window: sessions may run at any time.",
	}
	for _, one := range m.GetWindows() {
		name, state := say(one.GetName()), "closed"
		name.sub = words.Safe(one.GetDescription())
		if one.GetIsOpen() {
			state = "open"
		}
		open := say(anyOf(one.GetOpen(), "always"))
		if len(one.GetClosed()) > 0 {
			open.sub = words.Safe("but for " + anyOf(one.GetClosed(), ""))
		}
		until := at(one.GetChange())
		if one.GetChange() == nil {
			until = say("it is changed")
		}
		who := slices.Clone(one.GetComputers())
		for _, g := range one.GetGroups() {
			who = append(who, "group "+g)
		}
		t.rows = append(t.rows, []cell{name, stated(state), until, open, say(anyOf(who, "the server")), say(anyOf(one.GetActivities(), "all")), doable(v.offers(one.GetName(), "edit-week", "edit-window", "delete-window"))})
	}
	off := section{
		title: "Activities switched off", offers: v.offers("", "switch-off"), columns: columns("Activity", "On", "Until", "~By", "~Since", "Actions"), empty: "All are on.",
	}
	for _, one := range a.GetDisabled() {
		until := at(one.GetUntil())
		if one.GetUntil() == nil {
			until = say("it is switched on")
		}
		row := []cell{say(one.GetActivity()), say(one.GetLevel()), until, say(one.GetUser()), at(one.GetSince()), {}}
		for _, o := range v.offers(one.GetLevel(), "switch-on") {
			o.to = deedLink(o.deed.name, one.GetLevel(), "activity", one.GetActivity())
			row[5].acts = append(row[5].acts, o)
		}
		off.rows = append(off.rows, row)
	}
	limits := section{
		title: "Sessions at once", note: "How many may run at once, of the server, a computer or a repository.", offers: v.offers("", "set-limit"),
		columns: columns("Level", ">Limit", ">Running", ">Waiting"), empty: "Nothing bounds them.",
	}
	for _, one := range l.GetLimits() {
		limits.rows = append(limits.rows, []cell{say(one.GetLevel()), say(some(int64(one.GetSessions()))), say(number(int64(one.GetRunning()))), say(number(int64(one.GetWaiting())))})
	}
	digits, err := c.prioritySection(r, v)
	if err != nil {
		return err
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Windows and activities", offers: v.offers("", "pause-server", "resume-server"), sections: []section{t, off, limits, digits}})
	return nil
}

// readWindow reads a window without what is only as of now.
func readWindow(d *doing, name string) (*keepwardv1.Window, error) {
	m, err := call(d, d.c.queue.ListWindows, &keepwardv1.ListWindowsRequest{})
	one, err := oneNamed(m.GetWindows(), err, "window", name)
	if err == nil {
		one.Created, one.IsOpen, one.Change = nil, false, nil
	}
	return one, err
}

func (d *doing) activities() ([]choice, error) {
	m, err := call(d, d.c.queue.ListActivities, &keepwardv1.ListActivitiesRequest{})
	var out []choice
	for _, a := range m.GetActivities() {
		out = append(out, choice{a.GetName(), a.GetName() + ": " + a.GetMeaning()})
	}
	return out, err
}

func windowEntries(d *doing, one *keepwardv1.Window) ([]entry, error) {
	activities, err := d.activities()
	if err != nil {
		return nil, err
	}
	computers, err := d.computers()
	if err != nil {
		return nil, err
	}
	m, err := call(d, d.c.groups.ListGroups, &keepwardv1.ListGroupsRequest{})
	var groups []choice
	for _, g := range m.GetGroups() {
		groups = append(groups, choice{g.GetGroup().GetName(), g.GetGroup().GetName()})
	}
	form := "Such as " + strings.Join(schedule.HoursExamples, "; ") + ". One a line."
	return []entry{
		area("open", "Open", form+" Nothing: always, but for what is closed.", one.GetOpen()), area("closed", "Closed all the same", "One a line.", one.GetClosed()),
		written(inText, "zone", "Time zone of the hours", one.GetZone(), "Such as Europe/Paris. Nothing: that of the server."),
		someOf("computers", "Computers", "None, and no group: the whole server.", computers, one.GetComputers()), someOf("groups", "Groups", "", groups, one.GetGroups()),
		someOf("activities", "Activities", "None: all.", activities, one.GetActivities()),
		written(inCheck, "finish", "What runs when it closes may run on", yesIf(one.GetFinish()), ""),
		written(inCheck, "hold", "While it is closed, schedules start nothing that it concerns", yesIf(one.GetDoNotSubmit()), ""),
		written(inText, "description", "Description", one.GetDescription(), ""),
	}, err
}

func saveWindow(d *doing, one *keepwardv1.Window) (done, error) {
	m, err := call(d, d.c.queue.SaveWindow, &keepwardv1.SaveWindowRequest{Window: one})
	return done{to: "/windows", says: m.GetWarnings()}, err
}

func windowOf(d *doing, name string) *keepwardv1.Window {
	return &keepwardv1.Window{
		Name: name, Description: d.text("description"), Computers: d.chosen("computers"), Groups: d.chosen("groups"), Activities: d.chosen("activities"),
		Open: d.lines("open"), Closed: d.lines("closed"), Zone: d.text("zone"), Finish: d.on("finish"), DoNotSubmit: d.on("hold"),
	}
}

var windowComes = []string{"It holds at once. What may not run any more is stopped at its checkpoint, or runs on where the window lets it finish."}

var windowDeeds = []deed{
	{
		name: "new-window", verb: "New window", procedure: v1.QueueServiceSaveWindowProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			inputs, err := windowEntries(d, &keepwardv1.Window{})
			return form{back: "/windows", comes: windowComes, inputs: append([]entry{{name: "name", label: "Name", needed: true}}, inputs...)}, err
		},
		do: func(d *doing) (done, error) {
			name := d.text("name")
			if _, err := readWindow(d, name); err == nil {
				return done{}, exists("window", name)
			} else if errs.KindOf(err) != errs.NotFound {
				return done{}, err
			}
			return saveWindow(d, windowOf(d, name))
		},
	},
	{
		name: "edit-week", verb: "Edit week", procedure: v1.QueueServiceSaveWindowProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readWindow(d, d.of)
			if err != nil {
				return form{}, err
			}
			f := form{
				about: "window " + d.of, back: "/windows", thing: one, comes: windowComes,
				facts: fields("Open", words.Safe(anyOf(one.GetOpen(), "always")), "Closed all the same", safeList(one.GetClosed()), "Time zone", words.Safe(one.GetZone())),
			}
			w, exact := weekOf(one.GetOpen(), one.GetClosed())
			if !exact {
				f.missing = "Its hours begin or end within an hour, which a week of whole hours cannot show. Change them as text: Edit, in the list of windows."
				return f, nil
			}
			f.week = w
			return f, nil
		},
		do: func(d *doing) (done, error) {
			one, err := readWindow(d, d.of)
			if err != nil {
				return done{}, err
			}
			var w week
			w.take(d.in)
			if had, _ := weekOf(one.GetOpen(), one.GetClosed()); had != nil && *had == w {
				return done{to: "/windows"}, nil // its hours stay as somebody wrote them
			}
			one.Open, one.Closed = w.hours()
			return saveWindow(d, one)
		},
	},
	{
		name: "edit-window", verb: "Edit", procedure: v1.QueueServiceSaveWindowProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readWindow(d, d.of)
			if err != nil {
				return form{}, err
			}
			inputs, err := windowEntries(d, one)
			return form{about: "window " + d.of, back: "/windows", thing: one, comes: windowComes, inputs: inputs}, err
		},
		do: func(d *doing) (done, error) { return saveWindow(d, windowOf(d, d.of)) },
	},
	{
		name: "delete-window", verb: "Delete", procedure: v1.QueueServiceDeleteWindowProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			one, err := readWindow(d, d.of)
			return form{
				about: "window " + d.of, back: "/windows", facts: fields("Open", words.Safe(anyOf(one.GetOpen(), "always")), "Closed all the same", safeList(one.GetClosed())),
				comes: []string{"What waited for it alone may run at once."},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.queue.DeleteWindow, &keepwardv1.DeleteWindowRequest{Name: d.of})
			return done{to: "/windows"}, err
		},
	},
	{
		name: "switch-off", verb: "Switch off", procedure: v1.QueueServiceSetActivityProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			activities, err := d.activities()
			if err != nil {
				return form{}, err
			}
			computers, err := d.computers()
			levels := []choice{{"server", "the whole server"}}
			for _, one := range computers {
				levels = append(levels, choice{"computer/" + one.value, "computer " + words.Safe(one.label)})
			}
			return form{
				about: "activities", back: "/windows", comes: []string{"Nothing of these activities leaves the queue there, until they are on again. What runs is stopped at its checkpoint."},
				inputs: []entry{levelEntry("On", levels), someOf("activities", "Activities", "", activities, nil), written(inText, "time", "For", "", "Such as 2h; on again by itself after it. Nothing: until somebody switches it on.")},
			}, err
		},
		do: func(d *doing) (done, error) {
			off, err := durationOf("For", d.text("time"))
			if err != nil {
				return done{}, err
			}
			req := &keepwardv1.SetActivityRequest{Level: d.text("level"), Activities: d.chosen("activities"), Disabled: true}
			if off > 0 {
				req.Time = durationpb.New(off)
			}
			_, err = call(d, d.c.queue.SetActivity, req)
			return done{to: "/windows"}, err
		},
	},
	{
		name: "switch-on", verb: "Switch on", procedure: v1.QueueServiceSetActivityProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			return form{about: d.more.Get("activity") + " on " + d.of, back: "/windows", comes: []string{"What waits for it may run at once, as windows and limits let it."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.queue.SetActivity, &keepwardv1.SetActivityRequest{Level: d.of, Activities: []string{d.more.Get("activity")}})
			return done{to: "/windows"}, err
		},
	},
	{
		name: "set-limit", verb: "Set limit", procedure: v1.QueueServiceSetLimitProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			computers, err := d.computers()
			if err != nil {
				return form{}, err
			}
			m, err := call(d, d.c.repositories.ListRepositories, &keepwardv1.ListRepositoriesRequest{})
			levels := []choice{{"server", "the whole server"}}
			for _, one := range computers {
				levels = append(levels, choice{"computer/" + one.value, "computer " + words.Safe(one.label)})
			}
			for _, one := range namesOf(m.GetRepositories()) {
				levels = append(levels, choice{"repository/" + one.value, "repository " + words.Safe(one.label)})
			}
			return form{
				about: "sessions at once", back: "/windows", comes: []string{"Those that run go on; the next ones wait."},
				inputs: []entry{levelEntry("Of", levels), written(inText, "sessions", "Sessions at once", "", "0: no limit.")},
			}, err
		},
		do: func(d *doing) (done, error) {
			n, err := d.counted("sessions at once", "sessions")
			if err == nil {
				_, err = call(d, d.c.queue.SetLimit, &keepwardv1.SetLimitRequest{Level: d.text("level"), Sessions: n})
			}
			return done{to: "/windows"}, err
		},
	},
}

// levelEntry chooses a level; the names in it are as they came.
func levelEntry(label string, levels []choice) entry {
	e := written(inChoice, "level", label, "server", "")
	for _, one := range levels {
		e.choices = append(e.choices, choice{shownText(one.value), one.label})
	}
	return e
}
