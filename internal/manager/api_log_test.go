package manager

import (
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
)

func TestTheLogIsSearchedAndItsFilesAreListed(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.connect()
		id := w.run()
		attempt := w.agents["web1"].only(t)
		w.must(w.m.Events(t.Context(), agentOf("web1"), attempt, []*keepwardv1.Event{
			{Level: levelError, Code: "file.unreadable", Text: "open: permission denied", Path: []byte("/srv/a\xff"), Time: timestamppb.Now()},
			{Level: levelWarning, Code: "file.changed", Text: "changed while it was read", Path: []byte("/srv/b"), Time: timestamppb.Now()},
		}))
		find := func(req *keepwardv1.ReadLogPageRequest) []*keepwardv1.Event {
			t.Helper()
			m, err := w.m.ReadLogPage(t.Context(), connect.NewRequest(req))
			if err != nil {
				t.Fatal(err)
			}
			return m.Msg.GetEvents()
		}
		if got := find(&keepwardv1.ReadLogPageRequest{Id: id, Levels: []string{"error"}, Text: "DENIED"}); len(got) != 1 || string(got[0].GetPath()) != "/srv/a\xff" {
			t.Errorf("found is %v", got)
		}
		if got := find(&keepwardv1.ReadLogPageRequest{Id: id, Limit: -5}); len(got) != 1 {
			t.Errorf("of a limit that makes no sense come %d lines", len(got))
		}
		if _, err := w.m.ReadLogPage(t.Context(), connect.NewRequest(&keepwardv1.ReadLogPageRequest{Id: id, Levels: []string{"loud"}})); errs.CodeOf(err) != "session.log-level" {
			t.Errorf("a severity that is none: %v", err)
		}
		files, err := w.m.ListFileErrors(t.Context(), connect.NewRequest(&keepwardv1.ListFileErrorsRequest{Id: id, Limit: 1}))
		if err != nil || len(files.Msg.GetFiles()) != 1 || string(files.Msg.GetNext().GetPath()) != "/srv/a\xff" {
			t.Errorf("the files are %v, %v", files, err)
		}
		moves, err := w.m.ListTransitions(t.Context(), connect.NewRequest(&keepwardv1.ListTransitionsRequest{Id: id}))
		if err != nil || len(moves.Msg.GetEvents()) < 2 {
			t.Errorf("the changes of status are %v, %v", moves, err)
		}
		for name, ask := range map[string]func() error{
			"log": func() error {
				_, err := w.m.ReadLogPage(t.Context(), connect.NewRequest(&keepwardv1.ReadLogPageRequest{Id: id + 1}))
				return err
			},
			"files": func() error {
				_, err := w.m.ListFileErrors(t.Context(), connect.NewRequest(&keepwardv1.ListFileErrorsRequest{Id: id + 1}))
				return err
			},
			"transitions": func() error {
				_, err := w.m.ListTransitions(t.Context(), connect.NewRequest(&keepwardv1.ListTransitionsRequest{Id: id + 1}))
				return err
			},
		} {
			if err := ask(); errs.KindOf(err) != errs.NotFound {
				t.Errorf("%s of a session that is not there: %v", name, err)
			}
		}
	})
}

func TestScriptsOfASessionAreToldWithWhatTheyPrinted(t *testing.T) {
	site(t, func(t *testing.T, w *world) {
		w.setJob(w.scripted(aroundPlaces...))
		w.connect()
		id := w.run()
		w.finish("web1")
		w.pass(time.Second)
		m, err := w.m.ListScripts(t.Context(), connect.NewRequest(&keepwardv1.ListScriptsRequest{Id: id}))
		if err != nil {
			t.Fatal(err)
		}
		var places []job.Place
		for _, s := range m.Msg.GetScripts() {
			p := job.Place(s.GetPlace())
			places = append(places, p)
			if s.GetPath() != "/"+s.GetPlace() || len(s.GetEnd().GetOutput()) != 1 || (s.GetTask() == "") != p.Row().OnServer {
				t.Errorf("of a script it says %v", s)
			}
		}
		for _, p := range aroundPlaces {
			if !slices.Contains(places, p) {
				t.Errorf("nothing is said of %s: %v", p, places)
			}
		}
		if _, err := w.m.ListScripts(t.Context(), connect.NewRequest(&keepwardv1.ListScriptsRequest{Id: id + 1})); errs.KindOf(err) != errs.NotFound {
			t.Errorf("of a session that is not there: %v", err)
		}
	})
}
