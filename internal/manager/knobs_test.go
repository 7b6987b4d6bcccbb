package manager

import (
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func (w *world) setting(name, value string) {
	w.t.Helper()
	_, err := w.m.SetSetting(w.t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: name, Value: value}))
	w.must(err)
	synctest.Wait()
}

func TestASettingHoldsAtOnceAndOverARestart(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		if got := w.m.knobs().Duration("claim_after"); got != job.DefaultClaimAfter {
			t.Errorf("before it claim_after is %s", got)
		}
		w.setting("claim_after", "2h")
		w.setting("restores_preempt_backups", "on")
		w.setting("attempts", "7")
		w.setting("priority_precedence", "agent")
		check := func() {
			t.Helper()
			k := w.m.knobs()
			if k.Duration("claim_after") != 2*time.Hour || !k.Bool("restores_preempt_backups") || k.Int("attempts") != 7 || k.Text("priority_precedence") != "agent" {
				t.Errorf("settings are %v", k.values)
			}
		}
		check()
		w.reopen()
		check()
		_, err := w.m.ResetSetting(t.Context(), connect.NewRequest(&keepwardv1.ResetSettingRequest{Name: "claim_after"}))
		w.must(err)
		if got := w.m.knobs().Duration("claim_after"); got != job.DefaultClaimAfter {
			t.Errorf("after it claim_after is %s", got)
		}
	})
}

func TestEverySettingIsListedAndTakesItsOwnValue(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		res, err := w.m.ListSettings(t.Context(), connect.NewRequest(&keepwardv1.ListSettingsRequest{}))
		w.must(err)
		listed := map[string]bool{}
		for _, s := range res.Msg.GetSettings() {
			listed[s.GetName()] = true
			if s.GetChanged() || s.GetValue() != s.GetDefault() || s.GetBounds() == "" {
				t.Errorf("%v", s)
			}
			w.setting(s.GetName(), s.GetValue())
		}
		for _, s := range job.Settings {
			if s.Turned() != listed[s.Name] {
				t.Errorf("%s is listed: %v", s.Name, listed[s.Name])
			}
		}
	})
}

func TestSettingsThatAreRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		for _, c := range []struct{ name, value, code string }{
			{"claim_aftre", "2h", "setting.unknown"},
			{"claim_after", "soon", "setting.value"},
			{"claim_after", "400d", "setting.value"},
			{"attempts", "0", "setting.value"},
			{"attempts", "many", "setting.value"},
			{"restores_preempt_backups", "maybe", "setting.value"},
			{"priority_precedence", "computer", "setting.value"},
			{"repository_streams", "4", "setting.elsewhere"},
			{"heartbeat", "10s", "setting.elsewhere"},
			{"heartbeats_lost", "4", "setting.fixed"},
		} {
			_, err := w.m.SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: c.name, Value: c.value}))
			if errs.CodeOf(err) != c.code || errs.HintOf(err) == "" && c.code != "setting.fixed" {
				t.Errorf("%s %s: %v (hint %q), want %s", c.name, c.value, err, errs.HintOf(err), c.code)
			}
		}
	})
}

func TestASettingThatIsNoneIsADefect(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a misspelt setting is taken for one")
		}
	}()
	(&Knobs{}).Duration("claim_aftre")
}

func TestTheBrokerFollowsItsSettings(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.connect()
		backup := w.run()
		w.finish("web1") // a point to restore
		w.expect(backup, job.Completed, "")
		backup = w.run()
		w.expect(backup, job.Running, "")
		restore := func() int64 {
			res, err := w.m.RestoreFiles(t.Context(), connect.NewRequest(&keepwardv1.RestoreFilesRequest{
				Computer: "web1", Point: w.points()[0].GetId(), TargetComputer: "web2", To: []byte("/tmp/x"),
			}))
			w.must(err)
			synctest.Wait()
			return res.Msg.GetSession()
		}
		id := restore()
		w.expect(backup, job.Running, "")
		w.expect(id, job.Pending, job.StreamsShort)
		w.setting("restores_preempt_backups", "on")
		w.expect(backup, job.InterruptPending, "")
	})
}

func TestOneComputerDoesAsManyTasksAtOnceAsItIsSet(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Name = "other"
		w.setJob(j)
		w.connect()
		w.run()
		id := w.runOther()
		w.expect(id, job.Waiting, job.ClientBusy)
		w.setting("client_tasks", "2")
		w.expect(id, job.Running, "")
	})
}

func TestHighPriorityAndPrecedence(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setting("restart_interval", "5m")
		j := theJobOf("web1")
		j.HighPriority, j.Name = true, "other"
		w.setJob(j)
		for _, c := range []struct {
			precedence string
			want       int32
		}{{"client", 106}, {"agent", 160}} {
			w.setting("priority_precedence", c.precedence)
			if got := w.session(w.runOther()).GetPriority(); got != c.want {
				t.Errorf("%s first: priority %03d, want %03d", c.precedence, got, c.want)
			}
			if got := w.session(w.run()).GetPriority(); got != 166 {
				t.Errorf("%s first: a job like others has %03d", c.precedence, got)
			}
		}
	})
}
