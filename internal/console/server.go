package console

import (
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	v1 "keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/words"
)

// This file is what is set for the whole server: settings, traffic rules, users, logins and tokens.

func (c *console) settingList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.settings.ListSettings, &keepwardv1.ListSettingsRequest{})
	if err != nil {
		return err
	}
	t := section{columns: columns("Setting", "Value", "~Default", "~May be", "Actions"), empty: "There is none."}
	for _, one := range m.GetSettings() {
		name := say(one.GetName())
		name.sub = words.Safe(one.GetMeaning())
		value, names := say(one.GetValue()), []string{"set-setting"}
		if one.GetChanged() {
			value.sub, names = "changed", append(names, "reset-setting")
		}
		t.rows = append(t.rows, []cell{name, value, say(one.GetDefault()), say(one.GetBounds()), doable(v.offers(one.GetName(), names...))})
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Settings", sections: []section{t}})
	return nil
}

func readSetting(d *doing) (*keepwardv1.Setting, error) {
	m, err := call(d, d.c.settings.ListSettings, &keepwardv1.ListSettingsRequest{})
	return oneNamed(m.GetSettings(), err, "setting", d.of)
}

func settingFacts(s *keepwardv1.Setting) []field {
	return fields("What it does", words.Safe(s.GetMeaning()), "Value", words.Safe(s.GetValue()), "Default", words.Safe(s.GetDefault()), "May be", words.Safe(s.GetBounds()))
}

func perSecond(n int64) string {
	if n == 0 {
		return ""
	}
	return words.Size(n) + "/s"
}

func (c *console) trafficList(w http.ResponseWriter, r *http.Request, v *view) error {
	m, err := call(r.Context(), c.client.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{})
	if err != nil {
		return err
	}
	t := section{columns: columns("Rule", "State", "Limit", ">Moves now", "~Between", "~Hours", "Actions"), empty: "There is no rule: nothing bounds what moves over the network."}
	tasks := section{title: "Tasks under rules now", columns: columns("Session", "Computer", "Rule", ">Moves", ">May"), empty: "None."}
	for _, one := range m.GetRules() {
		name, state := say(one.GetName()), "holds"
		name.sub = words.Safe(one.GetDescription())
		switch {
		case one.GetDisabled():
			state = "disabled"
		case !one.GetHolds():
			state = "outside its hours"
		}
		limit := say(one.GetLimit())
		if one.GetRestores() {
			limit.sub = "restores too"
		}
		between := say(anyOf(one.GetSource(), "any"))
		between.sub = words.Safe("and " + anyOf(one.GetTarget(), "any"))
		t.rows = append(t.rows, []cell{name, stated(state), limit, say(perSecond(one.GetMovingBytesPerSecond())), between, say(anyOf(one.GetHours(), "always")), doable(v.offers(one.GetName(), "edit-rule", "delete-rule"))})
		for _, k := range one.GetTasks() {
			tasks.rows = append(tasks.rows, []cell{leads(number(k.GetSession()), "/sessions/"+number(k.GetSession())), say(k.GetComputer()), say(one.GetName()), say(perSecond(k.GetRate().GetMoving())), say(perSecond(k.GetRate().GetNetwork()))})
		}
	}
	c.showSheet(w, r, v, "server", sheet{heading: "Traffic rules", live: true, sections: []section{t, {picture: trafficPart(v.trafficOf(m))}, tasks}, offers: v.offers("", "new-rule")})
	return nil
}

// anyOf is a list, or what an empty one means.
func anyOf(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, "; ")
}

// readRule reads a rule without what is only as of now.
func readRule(d *doing, name string) (*keepwardv1.TrafficRule, error) {
	m, err := call(d, d.c.traffic.ListTrafficRules, &keepwardv1.ListTrafficRulesRequest{})
	one, err := oneNamed(m.GetRules(), err, "traffic rule", name)
	if err != nil {
		return nil, err
	}
	return &keepwardv1.TrafficRule{
		Name: one.GetName(), Description: one.GetDescription(), Source: one.GetSource(), Target: one.GetTarget(), Limit: one.GetLimit(), Hours: one.GetHours(),
		Zone: one.GetZone(), Restores: one.GetRestores(), Disabled: one.GetDisabled(),
	}, nil
}

func ruleEntries(one *keepwardv1.TrafficRule) []entry {
	ranges := "Addresses or networks such as 10.1.0.0/16, one a line. Nothing: any."
	return []entry{
		written(inText, "limit", "Limit", one.GetLimit(), "Such as 40Mbit/s or 5MB/s, for all tasks under the rule together."),
		area("source", "One end", ranges, one.GetSource()), area("target", "Other end", ranges, one.GetTarget()),
		area("hours", "Hours", "Such as mon-fri 08:00-18:00, one a line. Nothing: always.", one.GetHours()),
		written(inText, "zone", "Time zone of the hours", one.GetZone(), "Such as Europe/Paris. Nothing: that of the server."),
		written(inCheck, "restores", "It holds for restores too", yesIf(one.GetRestores()), ""), written(inCheck, "disabled", "Disabled", yesIf(one.GetDisabled()), ""),
		written(inText, "description", "Description", one.GetDescription(), ""),
	}
}

func saveRule(d *doing, name string) (done, error) {
	m, err := call(d, d.c.traffic.SaveTrafficRule, &keepwardv1.SaveTrafficRuleRequest{Rule: &keepwardv1.TrafficRule{
		Name: name, Description: d.text("description"), Source: d.lines("source"), Target: d.lines("target"), Limit: d.text("limit"), Hours: d.lines("hours"),
		Zone: d.text("zone"), Restores: d.on("restores"), Disabled: d.on("disabled"),
	}})
	return done{to: "/traffic", says: m.GetWarnings()}, err
}

func (c *console) userList(w http.ResponseWriter, r *http.Request, v *view) error {
	s := sheet{heading: "Users and tokens", offers: v.offers("", "new-user", "new-api-token")}
	admin := v.mayCall(v1.UserServiceListUsersProcedure)
	if admin {
		m, err := call(r.Context(), c.client.users.ListUsers, &keepwardv1.ListUsersRequest{})
		if err != nil {
			return err
		}
		t := section{title: "Users", columns: columns("User", "Role", ">Logins", ">Tokens", "~Passkeys", "~Made", "Actions"), empty: "There is none."}
		for _, one := range m.GetUsers() {
			names := []string{"edit-user", "set-password", "remove-user"}
			if one.GetOneTimeCodes() && one.GetName() != v.caller.GetUser().GetName() {
				names = append(names, "remove-codes-of")
			}
			t.rows = append(t.rows, []cell{say(one.GetName()), say(one.GetRole()), say(number(int64(one.GetLogins()))), say(number(int64(one.GetTokens()))), leads("show", link("/users/passkeys", "user", one.GetName())), at(one.GetCreated()), doable(v.offers(one.GetName(), names...))})
		}
		s.sections = append(s.sections, t)
	}
	m, err := call(r.Context(), c.client.tokens.ListAPITokens, &keepwardv1.ListAPITokensRequest{All: admin})
	if err != nil {
		return err
	}
	logins := section{title: "Logins", columns: columns("Login", "User", "~From", "~Used", "Ends", "Actions"), empty: "Nobody is logged in."}
	tokens := section{title: "API tokens", columns: columns("Token", "User", "~Role", "~Used", "Ends", "Actions"), empty: "There is none."}
	for _, k := range m.GetTokens() {
		id := say(k.GetId())
		id.code, id.sub = true, words.Safe(k.GetName())
		row := []cell{id, say(k.GetUser()), say(k.GetAddress()), at(k.GetUsed()), at(k.GetExpires()), doable(v.offers(k.GetId(), "end-token"))}
		if k.GetCurrent() {
			row[0].sub = "this one"
		}
		if k.GetKind() == "token" {
			row[2] = say(k.GetRole())
			tokens.rows = append(tokens.rows, row)
		} else {
			logins.rows = append(logins.rows, row)
		}
	}
	s.sections = append(s.sections, logins, tokens)
	if v.mayCall(v1.SignOnServiceSetSignOnProviderProcedure) {
		by, err := c.signOnFacts(r, v)
		if err != nil {
			return err
		}
		s.sections = append(s.sections, by)
	}
	c.showSheet(w, r, v, "server", s)
	return nil
}

var roleChoices = []choice{{"viewer", "viewer"}, {"operator", "operator"}, {"restore-operator", "restore operator"}, {"admin", "administrator"}}

func secretEntry(name, label, help string) entry {
	return entry{name: name, label: label, help: help, secret: true, needed: true}
}

// twice reads a new password.
func (d *doing) twice() (string, error) {
	if d.in.Get("password") != d.in.Get("again") {
		return "", errs.New(errs.Invalid, "", "set the password: the two are not the same")
	}
	return d.in.Get("password"), nil
}

var serverDeeds = []deed{
	{
		name: "set-setting", verb: "Change", procedure: v1.SettingsServiceSetSettingProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readSetting(d)
			return form{
				about: "setting " + d.of, back: "/settings", facts: settingFacts(one), comes: []string{"It holds at once, for the whole server."}, thing: one,
				inputs: []entry{written(inText, "value", "Value", one.GetValue(), one.GetBounds())},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.settings.SetSetting, &keepwardv1.SetSettingRequest{Name: d.of, Value: d.text("value")})
			return done{to: "/settings"}, err
		},
	},
	{
		name: "reset-setting", verb: "Reset", procedure: v1.SettingsServiceResetSettingProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readSetting(d)
			return form{about: "setting " + d.of, back: "/settings", facts: settingFacts(one), thing: one, comes: []string{"It is " + words.Safe(one.GetDefault()) + " again, at once, for the whole server."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.settings.ResetSetting, &keepwardv1.ResetSettingRequest{Name: d.of})
			return done{to: "/settings"}, err
		},
	},
	{
		name: "new-rule", verb: "New rule", procedure: v1.TrafficServiceSaveTrafficRuleProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{back: "/traffic", comes: []string{"It holds at once, for what runs too."}, inputs: append([]entry{{name: "name", label: "Name", needed: true}}, ruleEntries(&keepwardv1.TrafficRule{})...)}, nil
		},
		do: func(d *doing) (done, error) {
			name := d.text("name")
			if _, err := readRule(d, name); err == nil {
				return done{}, exists("traffic rule", name)
			} else if errs.KindOf(err) != errs.NotFound {
				return done{}, err
			}
			return saveRule(d, name)
		},
	},
	{
		name: "edit-rule", verb: "Edit", procedure: v1.TrafficServiceSaveTrafficRuleProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readRule(d, d.of)
			if err != nil {
				return form{}, err
			}
			return form{about: "traffic rule " + d.of, back: "/traffic", thing: one, comes: []string{"It holds at once, for what runs too."}, inputs: ruleEntries(one)}, nil
		},
		do: func(d *doing) (done, error) { return saveRule(d, d.of) },
	},
	{
		name: "delete-rule", verb: "Delete", procedure: v1.TrafficServiceDeleteTrafficRuleProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			one, err := readRule(d, d.of)
			return form{about: "traffic rule " + d.of, back: "/traffic", facts: fields("Limit", words.Safe(one.GetLimit()), "Hours", words.Safe(anyOf(one.GetHours(), "always"))), comes: []string{"What runs under it is bounded by the other rules alone, at once."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.traffic.DeleteTrafficRule, &keepwardv1.DeleteTrafficRuleRequest{Name: d.of})
			return done{to: "/traffic"}, err
		},
	},
	{
		name: "new-user", verb: "New user", procedure: v1.UserServiceCreateUserProcedure, part: "server",
		ask: func(*doing) (form, error) {
			return form{back: "/users", inputs: []entry{
				{name: "name", label: "Name", needed: true},
				written(inChoice, "role", "Role", "viewer", "", roleChoices...),
				secretEntry("password", "Password", ""), secretEntry("again", "Password once more", ""),
			}}, nil
		},
		do: func(d *doing) (done, error) {
			password, err := d.twice()
			if err != nil {
				return done{}, err
			}
			_, err = call(d, d.c.users.CreateUser, &keepwardv1.CreateUserRequest{Name: d.text("name"), Role: d.text("role"), Password: password})
			return done{to: "/users"}, err
		},
	},
	{
		name: "edit-user", verb: "Change role", procedure: v1.UserServiceEditUserProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			one, err := readUser(d)
			return form{
				about: "user " + d.of, back: "/users", thing: &keepwardv1.User{Role: one.GetRole()}, inputs: []entry{written(inChoice, "role", "Role", one.GetRole(), "", roleChoices...)},
				comes: []string{"It counts at once, for logins and tokens that are out too.", "The last administrator stays one."},
			}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.users.EditUser, &keepwardv1.EditUserRequest{Name: d.of, Role: d.text("role")})
			return done{to: "/users"}, err
		},
	},
	{
		name: "set-password", verb: "Set password", procedure: v1.UserServiceCreateUserProcedure, part: "server", // of others: for administrators
		ask: func(d *doing) (form, error) {
			_, err := readUser(d)
			return form{about: "user " + d.of, back: "/users", comes: []string{"The user's other logins end at once, and passkeys are removed. API tokens stay."}, inputs: []entry{secretEntry("password", "New password", ""), secretEntry("again", "Once more", "")}}, err
		},
		do: func(d *doing) (done, error) {
			password, err := d.twice()
			if err == nil {
				_, err = call(d, d.c.users.SetPassword, &keepwardv1.SetPasswordRequest{Name: d.of, Password: password})
			}
			return done{to: "/users"}, err
		},
	},
	{
		name: "own-password", verb: "Change my password", procedure: v1.UserServiceSetPasswordProcedure, part: "account",
		ask: func(*doing) (form, error) {
			return form{back: "/account", comes: []string{"Your other logins end at once. API tokens stay."}, inputs: []entry{
				secretEntry("current", "Password that you have", ""), secretEntry("password", "New password", ""), secretEntry("again", "Once more", ""),
			}}, nil
		},
		do: func(d *doing) (done, error) {
			password, err := d.twice()
			if err == nil {
				_, err = call(d, d.c.users.SetPassword, &keepwardv1.SetPasswordRequest{Password: password, CurrentPassword: d.in.Get("current")})
			}
			return done{to: "/account"}, err
		},
	},
	{
		name: "remove-user", verb: "Remove", procedure: v1.UserServiceRemoveUserProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			_, err := readUser(d)
			return form{about: "user " + d.of, back: "/users", comes: []string{"All logins and API tokens of the user end at once.", "The last administrator stays."}}, err
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.users.RemoveUser, &keepwardv1.RemoveUserRequest{Name: d.of})
			return done{to: "/users"}, err
		},
	},
	{
		name: "new-api-token", verb: "New API token", procedure: v1.APITokenServiceCreateAPITokenProcedure, part: "server",
		ask: func(d *doing) (form, error) {
			return form{back: "/users", comes: []string{"A program calls the API with it, as you. It is shown once; only its hash is kept."}, inputs: []entry{
				{name: "name", label: "Name", help: "What it is for.", needed: true},
				written(inChoice, "role", "Role", "", "At most what you may.", append([]choice{{"", "as I"}}, roleChoices...)...),
				written(inText, "ttl", "Good for", "90d", "Such as 90d. Nothing: as the server says."),
			}}, nil
		},
		do: func(d *doing) (done, error) {
			req := &keepwardv1.CreateAPITokenRequest{Name: d.text("name"), Role: d.text("role")}
			ttl, err := durationOf("Good for", d.text("ttl"))
			if err != nil {
				return done{}, err
			}
			if ttl > 0 {
				req.Ttl = durationpb.New(ttl)
			}
			m, err := call(d, d.c.tokens.CreateAPIToken, req)
			return done{to: "/users", secret: m.GetToken()}, err
		},
	},
	{
		name: "end-token", verb: "End", procedure: v1.APITokenServiceRevokeAPITokenProcedure, part: "server", danger: true,
		ask: func(d *doing) (form, error) {
			if err := d.knowsToken(d.of); err != nil {
				return form{}, err
			}
			return form{about: "login or token " + d.of, back: "/users", comes: []string{"It counts no more, at once; what runs by it in a browser or a program is cut off.", "Sessions that were started by it go on."}}, nil
		},
		do: func(d *doing) (done, error) {
			_, err := call(d, d.c.tokens.RevokeAPIToken, &keepwardv1.RevokeAPITokenRequest{Id: d.of})
			return done{to: "/users"}, err
		},
	},
}

// knowsToken fails for a token that there is not, or that is not for who looks.
func (d *doing) knowsToken(id string) error {
	m, err := call(d, d.c.tokens.ListAPITokens, &keepwardv1.ListAPITokensRequest{All: d.v.mayCall(v1.UserServiceListUsersProcedure)})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(m.GetTokens(), func(k *keepwardv1.APIToken) bool { return k.GetId() == id }) {
		return errs.New(errs.NotFound, "", "there is no login or token %q that you may end", id)
	}
	return nil
}

func readUser(d *doing) (*keepwardv1.User, error) {
	m, err := call(d, d.c.users.ListUsers, &keepwardv1.ListUsersRequest{})
	return oneNamed(m.GetUsers(), err, "user", d.of)
}
