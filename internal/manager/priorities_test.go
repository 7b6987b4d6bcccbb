package manager

import (
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// digit sets a digit of priorities; -1: back to the default.
func (w *world) digit(level string, digit int32) error {
	req := &keepwardv1.SetPriorityRequest{Level: level}
	if digit >= 0 {
		req.Digit = &digit
	}
	_, err := w.m.SetPriority(w.t.Context(), connect.NewRequest(req))
	return err
}

// prioritiesOf are those of a session and of its tasks.
func (w *world) prioritiesOf(id int64) []int32 {
	s := w.session(id)
	list := []int32{s.GetPriority()}
	for _, t := range s.GetTasks() {
		list = append(list, t.GetPriority())
	}
	return list
}

func (w *world) hasPriorities(id int64, want ...int32) {
	w.t.Helper()
	got := w.prioritiesOf(id)
	for i := range want {
		if len(got) != len(want) || got[i] != want[i] {
			w.t.Errorf("session %d and its tasks have %03d, want %03d", id, got, want)
			return
		}
	}
}

func TestEachTaskHasTheDigitsOfItsTypeComputerAndAgent(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		w.pauseServer() // they all stay
		j := theJobOf("web1")
		j.Computers = append(j.Computers, "web2")
		w.setJob(j)
		w.hasPriorities(w.run(), 166, 166, 166)
		w.must(w.digit("computer/web2", 0))
		w.must(w.digit("type/backup", 4))
		both := w.run()
		w.hasPriorities(both, 406, 466, 406)
		w.setting("priority_precedence", "agent")
		w.hasPriorities(w.run(), 460, 466, 460)
		w.must(w.digit("type/backup", -1))
		w.hasPriorities(w.run(), 160, 166, 160)
		w.reopen()
		w.connect()
		w.hasPriorities(both, 406, 466, 406)
		w.hasPriorities(w.run(), 160, 166, 160)

		_, err := w.m.SetSessionPriority(t.Context(), connect.NewRequest(&keepwardv1.SetSessionPriorityRequest{Id: both, Priority: 50}))
		w.must(err)
		w.hasPriorities(both, 50, 50, 50)
		w.reopen()
		w.hasPriorities(both, 50, 50, 50)
	})
}

func TestAJobMayHaveAPriorityOfItsOwn(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		j := theJobOf("web1")
		j.Priority = 42
		w.setJob(j)
		w.must(w.digit("computer/web1", 0))
		w.hasPriorities(w.run(), 42, 42)
	})
}

func TestTheFirstOfTwoComputersGetsTheStream(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.oneStream()
		w.otherJob()
		w.must(w.digit("computer/web2", 0))
		later, sooner := w.run(), w.runOther()
		w.connect()
		w.expect(sooner, job.Running, "")
		w.expect(later, job.Waiting, job.StreamsShort)
	})
}

func TestDigitsThatAreRefused(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		for _, c := range []struct {
			level string
			digit int32
			code  string
		}{
			{"computer/web1", 10, "priority.digit"},
			{"computer/web9", 1, "computer.unknown"},
			{"type/bakup", 1, "priority.unknown"},
			{"type/media-export", 1, "priority.unknown"},
			{"agent/Linux", 1, "priority.unknown"},
			{"repository/main", 1, "priority.unknown"},
			{"web1", 1, "priority.unknown"},
		} {
			if err := w.digit(c.level, c.digit); errs.CodeOf(err) != c.code {
				t.Errorf("%s %d: %v, want %s", c.level, c.digit, err, c.code)
			}
		}
		res, err := w.m.ListPriorities(t.Context(), connect.NewRequest(&keepwardv1.ListPrioritiesRequest{}))
		w.must(err)
		for _, p := range res.Msg.GetPriorities() {
			if p.Digit != nil {
				t.Errorf("%s is set to %d", p.GetLevel(), p.GetDigit())
			}
			w.must(w.digit(p.GetLevel(), p.GetDefault()))
		}
	})
}
