package manager

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"

	"keepward/internal/broker"
	"keepward/internal/catalog"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// settingPrefix stands before the name of a setting in the catalog.
const settingPrefix = "setting."

// Knobs are the settings of the whole server, rows of job.Settings, as they stand at one moment.
// They never change: who wants to see a change asks the manager for them again, or follows it
// (Manager.turned).
type Knobs struct{ values map[string]any }

// value is what a setting was turned to, or its default. A name that is no setting is a defect: it
// must not pass for a limit of nothing.
func (k *Knobs) value(name string) any {
	if v, ok := k.values[name]; ok {
		return v
	}
	s, ok := job.Named(name)
	if !ok {
		panic("there is no setting " + name)
	}
	return s.Default
}

// Duration is a setting that is a time.
func (k *Knobs) Duration(name string) time.Duration { return k.value(name).(time.Duration) }

// Int is a setting that is a number.
func (k *Knobs) Int(name string) int { return k.value(name).(int) }

// Bool is a setting that is a switch.
func (k *Knobs) Bool(name string) bool { return k.value(name).(bool) }

// Text is a setting that is a word.
func (k *Knobs) Text(name string) string { return k.value(name).(string) }

// knobs are the settings as they stand now.
func (m *Manager) knobs() *Knobs { return m.knob.Load() }

// readKnobs takes over the settings that the catalog keeps. One that cannot be read any more, as
// after a downgrade, is as if nobody had set it.
func (m *Manager) readKnobs(ctx context.Context) error {
	kept, err := catalog.SettingsUnder(ctx, m.deps.DB.Read(), settingPrefix)
	if err != nil {
		return err
	}
	k := &Knobs{values: map[string]any{}}
	for name, text := range kept {
		s, ok := job.Named(name)
		if !ok || !s.Turned() {
			continue
		}
		v, err := parseSetting(s, string(text))
		if err != nil {
			m.log.Warn("setting not taken over", "setting", name, "error", err)
			continue
		}
		k.values[name] = v
	}
	m.turned(k)
	return nil
}

// turned makes settings hold from now on, and tells everybody who follows them.
func (m *Manager) turned(k *Knobs) {
	m.knob.Store(k)
	set := m.set
	if m.deps.Settings.Leaving == 0 {
		set.Leaving = k.Duration("leaving_limit")
	}
	set.Protected = k.Duration("protected_running")
	m.tuned.Store(&set)
	m.dispatch(m.broker.SetPolicy(broker.Policy{
		Switches: job.Switches{
			RestoresPreemptBackups: k.Bool("restores_preempt_backups"),
			BackupsPreemptBackups:  k.Bool("backups_preempt_backups"),
			CopiesPreemptCopies:    k.Bool("copies_preempt_copies"),
		},
		ClaimAfter: k.Duration("claim_after"), InARow: k.Int("preemptions_in_row"), Protect: k.Duration("protected_running"),
	}))
}

// settings are the manager's limits as they stand now.
func (m *Manager) settings() *Settings { return m.tuned.Load() }

// turnSetting changes a setting; nil: back to its default. It holds when this returns.
func (m *Manager) turnSetting(ctx context.Context, s job.Setting, value any) error {
	select {
	case m.supply <- struct{}{}:
		defer func() { <-m.supply }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := m.deps.DB.Write(ctx, func(tx *sql.Tx) error {
		if value == nil {
			return catalog.DeleteSetting(ctx, tx, settingPrefix+s.Name)
		}
		return catalog.SetSetting(ctx, tx, settingPrefix+s.Name, []byte(formatSetting(value)))
	})
	if err != nil {
		return err
	}
	if err := m.readKnobs(ctx); err != nil {
		return err
	}
	if strings.HasPrefix(s.Name, runningTime) {
		m.tickAll() // a session may have run for too long already
	}
	return m.setComputers(ctx) // their slots are a setting
}

// attempts is how often a phase of a type is tried where nobody set it.
func (m *Manager) attempts(t job.Type) int {
	if t == job.Restore {
		return m.knobs().Int("attempts_restore")
	}
	return m.knobs().Int("attempts")
}

// parseSetting reads a value as people write it, and checks its bounds.
func parseSetting(s job.Setting, text string) (any, error) {
	bad := errs.New(errs.Invalid, "setting.value", "set %s: %q is not one of its values", s.Name, text).WithHint("it is %s", boundsText(s))
	var v any
	var err error
	switch s.Default.(type) {
	case int:
		v, err = strconv.Atoi(text)
	case time.Duration:
		v, err = config.ParseDuration(text)
	case bool:
		switch strings.ToLower(text) {
		case "on", "true", "yes":
			v = true
		case "off", "false", "no":
			v = false
		}
	default:
		v = text
	}
	if err != nil || v == nil || !s.Allows(v) || s.Name == groupRescan && !rescanSchedule(text) {
		return nil, bad
	}
	return v, nil
}

// ParseSwitch reads a value of a setting that is on or off, as SetSetting does.
func ParseSwitch(name, text string) (bool, error) {
	s, err := settingNamed(name)
	if err != nil {
		return false, err
	}
	v, err := parseSetting(s, text)
	if err != nil {
		return false, err
	}
	on, ok := v.(bool)
	if !ok {
		return false, errs.New(errs.Internal, "", "read setting %s: it is no switch", name)
	}
	return on, nil
}

// formatSetting writes a value so that parseSetting reads it back.
func formatSetting(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return config.FormatDuration(v)
	case bool:
		if v {
			return "on"
		}
		return "off"
	}
	return fmt.Sprint(v)
}

// boundsText says what a setting may be.
func boundsText(s job.Setting) string {
	b := s.Bounds()
	switch s.Default.(type) {
	case int:
		return fmt.Sprintf("a number from %d to %d", b.Least, b.Most)
	case time.Duration:
		return fmt.Sprintf("a time from %s to %s, such as 90s, 20m, 2h or 7d", config.FormatDuration(time.Duration(b.Least)), config.FormatDuration(time.Duration(b.Most)))
	case bool:
		return "on or off"
	}
	if s.Name == groupRescan {
		return "a schedule such as daily 21:00 or every 60m, or never"
	}
	if b.Form != nil {
		return b.Form.Text
	}
	return strings.Join(b.Choices, ", ")
}
