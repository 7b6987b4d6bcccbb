package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// TrafficRules lists all traffic rules by name.
func TrafficRules(ctx context.Context, q Queryer) ([]*keepwardv1.TrafficRule, error) {
	rows, err := q.QueryContext(ctx, `SELECT definition, created FROM traffic_rules ORDER BY name`)
	out, err := collect(rows, err, func(r *sql.Rows) (*keepwardv1.TrafficRule, error) { return scanTrafficRule(r) })
	if err != nil {
		return nil, fmt.Errorf("list traffic rules: %w", err)
	}
	return out, nil
}

func scanTrafficRule(row interface{ Scan(...any) error }) (*keepwardv1.TrafficRule, error) {
	var definition string
	var created int64
	if err := row.Scan(&definition, &created); err != nil {
		return nil, err
	}
	r := &keepwardv1.TrafficRule{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(definition), r); err != nil {
		return nil, errs.New(errs.Corrupt, "catalog.traffic", "read traffic rule from the catalog: %w", err)
	}
	r.Created = timestamppb.New(timeOf(created))
	return r, nil
}

// GetTrafficRule finds a traffic rule, or answers errs.NotFound with the nearest names.
func GetTrafficRule(ctx context.Context, q Queryer, name string) (*keepwardv1.TrafficRule, error) {
	r, err := scanTrafficRule(q.QueryRowContext(ctx, `SELECT definition, created FROM traffic_rules WHERE name = ?`, name))
	return orNearest(ctx, q, r, err, "traffic rule", "traffic_rules", name)
}

// PutTrafficRule adds a traffic rule, or replaces the one of the same name. It must have been validated.
func PutTrafficRule(ctx context.Context, tx *sql.Tx, r *keepwardv1.TrafficRule, now time.Time) error {
	d := proto.CloneOf(r)
	d.Created, d.Holds, d.Change, d.BytesPerSecond, d.MovingBytesPerSecond, d.Tasks, d.RecentBytesPerSecond = nil, false, nil, 0, 0, nil, nil
	definition, err := protojson.Marshal(d)
	if err != nil {
		return fmt.Errorf("write traffic rule %s: %w", r.Name, err)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO traffic_rules (name, definition, created, changed) VALUES (?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, changed = excluded.changed`,
		r.Name, string(definition), nanos(now), nanos(now))
	if err != nil {
		return fmt.Errorf("write traffic rule %s: %w", r.Name, err)
	}
	return nil
}

// DeleteTrafficRule removes a traffic rule.
func DeleteTrafficRule(ctx context.Context, tx *sql.Tx, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM traffic_rules WHERE name = ?`, name); err != nil {
		return fmt.Errorf("delete traffic rule %s: %w", name, err)
	}
	return nil
}
