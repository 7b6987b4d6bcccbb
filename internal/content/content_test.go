package content

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

// childArgument makes this program the process that a test needs.
const childArgument = "content-process"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childArgument {
		if err := child(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child is a process that opens nothing, and behaves as its mode says.
func child(mode string) error {
	in := bufio.NewReader(os.Stdin)
	next := func() (*keepwardv1.ContentAsk, error) {
		m := &keepwardv1.ContentAsk{}
		return m, (protodelim.UnmarshalOptions{MaxSize: -1}).UnmarshalFrom(in, m)
	}
	tell := func(m *keepwardv1.ContentTell) error {
		_, err := protodelim.MarshalTo(os.Stdout, m)
		return err
	}
	if _, err := next(); err != nil {
		return err
	}
	data := &keepwardv1.ContentTell{Data: &keepwardv1.ContentData{Data: []byte("data")}}
	switch mode {
	case "dies at once":
		return errors.New("it has\nno more words")
	case "is silent":
		_, err := io.Copy(io.Discard, in)
		return err
	case "answers data for an order":
		return tell(data)
	case "says what it was given":
		return tell(&keepwardv1.ContentTell{Failure: &keepwardv1.Failure{Kind: "invalid", Code: "test", Message: fmt.Sprint(os.Environ(), os.Args)}})
	}
	if err := tell(&keepwardv1.ContentTell{Info: &keepwardv1.ContentInfo{Type: "file", Size: 5, Unconfined: []string{"something"}}}); err != nil {
		return err
	}
	var err error
	switch mode {
	case "says too much at once":
		_, err = os.Stdout.Write(append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}, make([]byte, 100)...)) // 4 GiB, it says
	case "answers before it is asked":
		for range 100 { // more than are asked for meanwhile
			err = errors.Join(err, tell(data))
		}
	case "wants too much":
		want := &keepwardv1.ContentWant{}
		for range wantMost + 1 {
			want.Ids = append(want.Ids, []byte{1})
		}
		err = tell(&keepwardv1.ContentTell{Want: want})
	}
	for err == nil {
		var ask *keepwardv1.ContentAsk
		if ask, err = next(); err != nil {
			break
		}
		switch mode {
		case "answers more than was asked for":
			data.Data.Data = make([]byte, ask.GetRead().GetLength()+1)
			err = tell(data)
		case "answers an info for a read":
			err = tell(&keepwardv1.ContentTell{Info: &keepwardv1.ContentInfo{}})
		case "dies later":
			return errors.New("it dies")
		case "reads":
			err = tell(&keepwardv1.ContentTell{Want: &keepwardv1.ContentWant{Call: 9, Ids: [][]byte{[]byte("one"), []byte("two")}}})
			text := fmt.Sprint(ask.GetRead().GetOffset(), " ", ask.GetRead().GetLength())
			for err == nil {
				if ask, err = next(); err != nil {
					break
				}
				text += fmt.Sprintf(" %d:%s", ask.GetRecords().GetCall(), ask.GetRecords().GetRecord().GetRecord())
				if ask.GetRecords().GetEnd() {
					text += " end " + ask.GetRecords().GetFailure().GetMessage()
					break
				}
			}
			if err == nil {
				err = tell(&keepwardv1.ContentTell{Data: &keepwardv1.ContentData{Data: []byte(text)}})
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// store answers each record with its id in capitals, and then an error.
type store struct{}

func (store) Records(_ context.Context, ids [][]byte, each func(*keepwardv1.ReadRecordsResponse) error) error {
	for i, id := range ids {
		if err := each(&keepwardv1.ReadRecordsResponse{At: uint32(i), Record: []byte(strings.ToUpper(string(id)))}); err != nil {
			return err
		}
	}
	return errs.New(errs.Unavailable, "test", "there is no more")
}

func openerOf(mode string) *Opener {
	return &Opener{Arguments: []string{childArgument, mode}, Log: slog.New(slog.DiscardHandler)}
}

func TestAReadingGetsRecordsAndAnswersContent(t *testing.T) {
	var log strings.Builder
	o := openerOf("reads")
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	c, err := o.Open(t.Context(), &keepwardv1.ContentOrder{Path: []byte("x")}, store{})
	if err != nil {
		t.Fatal(err)
	}
	for offset := range int64(3) {
		got, err := c.Read(offset, 1<<30)
		if want := fmt.Sprintf("%d %d 9:ONE 9:TWO 9: end there is no more", offset, PieceMost); err != nil || string(got) != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if c.Info().GetSize() != 5 || !strings.Contains(log.String(), "something") {
		t.Errorf("the info is %v, the log says %q", c.Info(), log.String())
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if c.cmd.ProcessState == nil {
		t.Error("the process was left behind")
	}
	if _, err := c.Read(0, 1); errs.KindOf(err) != errs.Cancelled {
		t.Errorf("what was closed reads: %v", err)
	}
}

// A process that opens hostile content may become anything: it is not believed.
func TestAProcessThatMisbehavesIsEnded(t *testing.T) {
	for mode, says := range map[string]string{
		"dies at once": "(it said: it has)", "answers data for an order": "not asked for", "says too much at once": "has ended", "answers before it is asked": "not asked for",
		"wants too much": "not asked for", "answers more than was asked for": "not asked for", "answers an info for a read": "not asked for", "dies later": "(it said: it dies)",
	} {
		c, err := openerOf(mode).Open(t.Context(), &keepwardv1.ContentOrder{}, store{})
		if err == nil {
			for i := 0; err == nil && i < 1000; i++ { // what comes just when it is asked for is an answer
				_, err = c.Read(0, 100)
			}
			_ = c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("one that %s: %v, want %q", mode, err, says)
		}
	}
}

func TestAReadingEndsWithWhoAskedAndWhenNobodyGoesOn(t *testing.T) {
	o := openerOf("is silent")
	o.Idle = 50 * time.Millisecond
	if _, err := o.Open(t.Context(), &keepwardv1.ContentOrder{}, store{}); errs.CodeOf(err) != "content.idle" {
		t.Errorf("one that nobody goes on with: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := openerOf("is silent").Open(ctx, &keepwardv1.ContentOrder{}, store{}); !errors.Is(err, context.Canceled) {
		t.Errorf("one whose asker has gone: %v", err)
	}
}

func TestOnlySoManyReadAtOnce(t *testing.T) {
	o := openerOf("reads")
	open := func() (*Content, error) { return o.Open(t.Context(), &keepwardv1.ContentOrder{}, store{}) }
	var mu sync.Mutex
	var all []*Content
	var work sync.WaitGroup
	for range atOnce {
		work.Go(func() {
			c, err := open()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, c)
		})
	}
	work.Wait()
	if _, err := open(); errs.CodeOf(err) != "content.many" {
		t.Errorf("one too many: %v", err)
	}
	_ = all[0].Close()
	c, err := open()
	if err != nil {
		t.Fatalf("where one has ended: %v", err)
	}
	all[0] = c
	for _, c := range all {
		_ = c.Close()
	}
	// Those that failed hold no place.
	bad := openerOf("dies at once")
	for range 2 * atOnce {
		if _, err := bad.Open(t.Context(), &keepwardv1.ContentOrder{}, store{}); errs.CodeOf(err) == "content.many" {
			t.Fatal("one that failed holds a place")
		}
	}
}

func TestTheProcessIsToldNoSecretThatOthersCanSee(t *testing.T) {
	t.Setenv("KEEPWARD_TOKEN", "topsecret")
	t.Setenv("OTHER", "topsecret")
	_, err := openerOf("says what it was given").Open(t.Context(), &keepwardv1.ContentOrder{Keys: &keepwardv1.RepositoryKeys{ComputerKey: []byte("topsecret")}}, store{})
	if err == nil || !strings.Contains(err.Error(), childArgument) || strings.Contains(err.Error(), "topsecret") || !strings.Contains(err.Error(), "GOMEMLIMIT=") {
		t.Errorf("it was given %v", err)
	}
}
