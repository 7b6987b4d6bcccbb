package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"keepward/internal/changes"
	"keepward/internal/pipeline"
	"keepward/internal/snapshot"
	"keepward/internal/source"
	"keepward/internal/track"
)

// told is what a backup's log says of how changes are known.
var told = map[changes.Kind]string{
	changes.KindBtrfs:   "by the difference of two snapshots",
	changes.KindJournal: "by a journal of what happens on it",
}

// units are the volumes as they are read.
func (o *shot) units(ctx context.Context) []track.Unit {
	var out []track.Unit
	o.opened.Each(func(s *snapshot.Snapshot, p snapshot.Part, from string) {
		if from == "" {
			out = append(out, track.Unit{At: p.At, Volume: s.Volume, Kind: snapshot.None, Root: p.At})
			return
		}
		u := track.Unit{At: p.At, Volume: s.Volume, Kind: s.Kind, Root: from, Whole: p.Path == p.ID}
		if o.kept > 0 && s.Kind == snapshot.Btrfs {
			u.Former = o.former(ctx, s, p)
		}
		out = append(out, u)
	})
	for _, c := range o.set.Choices {
		if c.Kind == snapshot.None {
			out = append(out, track.Unit{At: c.Volume.Mount, Volume: c.Volume, Kind: snapshot.None, Root: c.Volume.Mount, Whole: true})
		}
	}
	return out
}

// follow has a backup go by what the trackers tell.
func (o *shot) follow(attempt string, opts *pipeline.Options) {
	if o == nil || o.moment == nil {
		return
	}
	asked := false
	opts.Changed = func(ctx context.Context, before *pipeline.Before) (source.Changed, error) {
		asked = true
		return o.changed(ctx, attempt, before, opts.Scratch)
	}
	if o.of.trackers.Due(jobKey(o.job), o.every) {
		opts.Check = func(ctx context.Context, before *pipeline.Before, differing pipeline.Differing) (int64, error) {
			asked = true
			return o.check(ctx, attempt, before, opts.Scratch, differing)
		}
	}
	opts.Tracker = func(ctx context.Context) ([]byte, error) {
		if o.missed {
			return nil, nil // the next backup compares every file, too
		}
		var err error
		if o.token, err = o.moment.Token(ctx); err != nil || asked {
			return o.token, err
		}
		for _, w := range o.moment.Watched() {
			if w.Kind == "" {
				o.of.a.event(attempt, "info", "changes.unknown", "the next backup compares every file of "+useText(w), nil)
				continue
			}
			o.of.a.event(attempt, "info", "changes.watched",
				fmt.Sprintf("what changes on %s from now on is told to the next backup %s", volumeText(w.Volume), told[w.Kind]), nil)
		}
		return o.token, nil
	}
}

// changed asks the trackers what has changed since the parent.
func (o *shot) changed(ctx context.Context, attempt string, before *pipeline.Before, scratch string) (source.Changed, error) {
	c, err := o.moment.Since(ctx, track.Parent{Token: before.Token, Find: before.Find, LinksToo: before.LinksToo, Scratch: scratch})
	if err != nil {
		return nil, err
	}
	o.ends = append(o.ends, c.Close)
	for _, u := range c.Uses {
		if u.Kind == "" {
			o.of.a.event(attempt, "info", "changes.compared", "every file is compared of "+useText(u), nil)
			continue
		}
		text := fmt.Sprintf("what changed on %s is told %s: %d places, found in %s", volumeText(u.Volume), told[u.Kind], u.Count, u.Took.Round(100*time.Microsecond))
		if len(u.Notes) > 0 {
			text += "; " + strings.Join(u.Notes, "; ")
		}
		o.of.a.event(attempt, "info", "changes.told", text, nil)
	}
	return c.Changed, nil
}

// missedMost is how many of the paths that a tracker missed are named in the log.
const missedMost = 20

// check compares what a backup that looked at everything found with what the trackers tell.
func (o *shot) check(ctx context.Context, attempt string, before *pipeline.Before, scratch string, differing pipeline.Differing) (missed int64, err error) {
	c, err := o.moment.Since(ctx, track.Parent{Token: before.Token, Find: before.Find, LinksToo: before.LinksToo, Scratch: scratch})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	for _, u := range c.Uses {
		if u.Kind == "" {
			o.of.a.event(attempt, "info", "changes.compared", "every file is compared of "+useText(u), nil)
		}
	}
	if c.Changed == nil {
		return 0, nil
	}
	o.compared = true
	found := 0
	all := func(fn func([]byte) error) error {
		return differing(func(p []byte) error { found++; return fn(p) })
	}
	err = track.Missed(c.Changed, all, func(path []byte) {
		if missed++; missed <= missedMost {
			o.of.a.event(attempt, "warning", "changes.missed", "this differs from the restore point before, and nothing told of it", rooted(path))
		}
	})
	if err != nil {
		return 0, err
	}
	if o.missed = missed > 0; o.missed {
		o.of.a.event(attempt, "error", "changes.missed", fmt.Sprintf("of %d places that differ from the restore point before, %d were not told: "+
			"what the backups since the last full comparison made may lack changes; this one has them all. Please report it, and switch change tracking off for this job: keepward job edit NAME --no-tracking",
			found, missed), nil)
		return missed, nil
	}
	o.of.a.event(attempt, "info", "changes.checked", fmt.Sprintf("every file was compared, as is done every %d runs: all %d places that differ had been told", o.every, found), nil)
	return 0, nil
}

// useText names a volume and says why nothing tells what changes on it.
func useText(u track.Use) string {
	text := volumeText(u.Volume)
	if u.At != u.Volume.Mount {
		text = u.At + " in " + text
	}
	text += ": " + u.Reason.Text()
	if u.Err != nil {
		text += " (" + u.Err.Error() + ")"
	}
	return text
}
