package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// This file is what administrators have set about when sessions may run: windows, activities that
// are switched off, limits. A level is a text, as internal/gate writes it.

func scanWindow(row interface{ Scan(...any) error }) (*keepwardv1.Window, error) {
	var definition string
	var created int64
	if err := row.Scan(&definition, &created); err != nil {
		return nil, err
	}
	w := &keepwardv1.Window{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(definition), w); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.window", "read window from the catalog: %w", err)
	}
	w.Created = timestamppb.New(timeOf(created))
	return w, nil
}

// Windows lists all windows by name.
func Windows(ctx context.Context, q Queryer) ([]*keepwardv1.Window, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created FROM windows ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.Window, error) { return scanWindow(r) })
	if err != nil {
		return nil, fmt.Errorf("list windows: %w", err)
	}
	return out, nil
}

// GetWindow finds a window, or answers errs.NotFound with the nearest names.
func GetWindow(ctx context.Context, q Queryer, name string) (*keepwardv1.Window, error) {
	w, err := scanWindow(q.QueryRowContext(ctx, `SELECT definition, created FROM windows WHERE name = ?`, name))
	return orNearest(ctx, q, w, err, "window", "windows", name)
}

// PutWindow adds a window, or replaces the one of the same name. It must have been validated.
func PutWindow(ctx context.Context, tx *sql.Tx, w *keepwardv1.Window, now time.Time) error {
	d := proto.CloneOf(w)
	d.Created, d.IsOpen, d.Change = nil, false, nil
	definition, err := protojson.Marshal(d)
	if err != nil {
		return fmt.Errorf("write window %s: %w", w.Name, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO windows (name, definition, created, changed) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, changed = excluded.changed`,
		w.Name, string(definition), nanos(now), nanos(now))
	if err != nil {
		return fmt.Errorf("write window %s: %w", w.Name, err)
	}
	return nil
}

// DeleteWindow removes a window.
func DeleteWindow(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM windows WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete window %s: %w", name, err)
	}
	return nil
}

// Disabled is an activity that is switched off on a level.
type Disabled struct {
	Level    string
	Activity string
	Until    time.Time // zero: until somebody switches it on
	Since    time.Time
	By       string
}

// DisabledActivities lists what is switched off and not yet on again by itself.
func DisabledActivities(ctx context.Context, q Queryer, now time.Time) ([]Disabled, error) {
	rows, err := q.QueryContext(ctx, `SELECT level, activity, until, since, actor FROM disabled_activities
		WHERE until = 0 OR until > ? ORDER BY level, activity`, nanos(now))
	out, err := collect(rows, err, func(r *sql.Rows) (Disabled, error) {
		var d Disabled
		var until, since int64
		err := r.Scan(&d.Level, &d.Activity, &until, &since, &d.By)
		d.Until, d.Since = timeOf(until), timeOf(since)
		return d, err
	})
	if err != nil {
		return nil, fmt.Errorf("list disabled activities: %w", err)
	}
	return out, nil
}

// DisableActivity switches an activity off. One that is off already gets the new end.
func DisableActivity(ctx context.Context, tx *sql.Tx, d Disabled) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO disabled_activities (level, activity, until, since, actor) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (level, activity) DO UPDATE SET until = excluded.until, since = excluded.since, actor = excluded.actor`,
		d.Level, d.Activity, nanos(d.Until), nanos(d.Since), d.By)
	if err != nil {
		return fmt.Errorf("disable %s of %s: %w", d.Activity, d.Level, err)
	}
	return nil
}

// EnableActivity switches an activity on again.
func EnableActivity(ctx context.Context, tx *sql.Tx, level, activity string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM disabled_activities WHERE level = ? AND activity = ?`, level, activity); err != nil {
		return fmt.Errorf("enable %s of %s: %w", activity, level, err)
	}
	return nil
}

// SessionLimits are the limits on how many sessions run at once, by level.
func SessionLimits(ctx context.Context, q Queryer) (map[string]int32, error) {
	return numbersByLevel(ctx, q, `SELECT level, sessions FROM session_limits`, "limits")
}

func numbersByLevel(ctx context.Context, q Queryer, statement, what string) (map[string]int32, error) {
	type row struct {
		level  string
		number int32
	}
	rows, err := q.QueryContext(ctx, statement)
	list, err := collect(rows, err, func(r *sql.Rows) (row, error) {
		var one row
		err := r.Scan(&one.level, &one.number)
		return one, err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", what, err)
	}
	out := make(map[string]int32, len(list))
	for _, one := range list {
		out[one.level] = one.number
	}
	return out, nil
}

// SetSessionLimit sets the limit of a level; 0 takes it away.
func SetSessionLimit(ctx context.Context, tx *sql.Tx, level string, sessions int32) error {
	statement, args := `DELETE FROM session_limits WHERE level = ?`, []any{level}
	if sessions > 0 {
		statement = `INSERT INTO session_limits (level, sessions) VALUES (?, ?) ON CONFLICT (level) DO UPDATE SET sessions = excluded.sessions`
		args = append(args, sessions)
	}
	if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("set limit of %s: %w", level, err)
	}
	return nil
}

// PriorityDigits are the digits of priorities that were set, by level.
func PriorityDigits(ctx context.Context, q Queryer) (map[string]int32, error) {
	return numbersByLevel(ctx, q, `SELECT level, digit FROM priority_digits`, "priorities")
}

// SetPriorityDigit sets the digit of a level; nil gives it its default back.
func SetPriorityDigit(ctx context.Context, tx *sql.Tx, level string, digit *int32) error {
	statement, args := `DELETE FROM priority_digits WHERE level = ?`, []any{level}
	if digit != nil {
		statement = `INSERT INTO priority_digits (level, digit) VALUES (?, ?) ON CONFLICT (level) DO UPDATE SET digit = excluded.digit`
		args = append(args, *digit)
	}
	if _, err := tx.ExecContext(ctx, statement, args...); err != nil {
		return fmt.Errorf("set priority of %s: %w", level, err)
	}
	return nil
}

// ForgetLevel removes what was set for a level that is no more. A window that was of this one alone
// goes too: without it, it would be everybody's.
func ForgetLevel(ctx context.Context, tx *sql.Tx, level string, now time.Time) error {
	for _, statement := range []string{`DELETE FROM disabled_activities WHERE level = ?`, `DELETE FROM session_limits WHERE level = ?`, `DELETE FROM priority_digits WHERE level = ?`} {
		if _, err := tx.ExecContext(ctx, statement, level); err != nil {
			return fmt.Errorf("forget rules of %s: %w", level, err)
		}
	}
	kind, name, _ := strings.Cut(level, "/")
	windows, err := Windows(ctx, tx)
	if err != nil {
		return err
	}
	for _, w := range windows {
		list := &w.Computers
		if kind == "group" {
			list = &w.Groups
		} else if kind != "computer" {
			return nil
		}
		if !slices.Contains(*list, name) {
			continue
		}
		*list = slices.DeleteFunc(*list, func(c string) bool { return c == name })
		if len(w.Computers)+len(w.Groups) == 0 {
			err = DeleteWindow(ctx, tx, w.Name)
		} else {
			err = PutWindow(ctx, tx, w, now)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
