package report

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/png"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
)

const hostile = "<script>alert(1)</script>\u202e\x1b[31m\"'&\xff{{.Secret}}\r\nBcc: a@b.c"

func bad() Facts {
	to := time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC)
	f := Facts{
		Server: hostile, From: to.AddDate(0, 0, -1), To: to, Console: "https://keep.example.org", Success: 1200, Warning: 3, Failed: 25, Computers: 1300, Unprotected: 2,
		Days: &keepwardv1.ListProtectionDaysResponse{First: "2026-11-11", Last: "2026-11-24", Found: 1300, WithHole: 2, Computers: []*keepwardv1.ProtectedComputer{
			{Computer: hostile + strings.Repeat("long", 60), HoleDays: 3, Results: []string{"success", "warning", "partial", "failed", "", "later", "success", "", "", "", "", "", "", "failed"}},
			{Computer: "web1", Results: []string{"success"}},
		}},
		Repositories: []Repository{{Repository: &keepwardv1.Repository{
			Name: hostile, Status: "online", SizeBytes: 3 << 30, FreeBytes: 1 << 30, ProofDays: 30, Proof: &keepwardv1.ProofState{DuePacks: 2, DueBytes: 64 << 20},
			Growth: &keepwardv1.Growth{Days: 10, BytesADay: 1 << 20, FullAbout: timestamppb.New(to.AddDate(1, 0, 0))},
		}, More: 100 << 20}},
	}
	for i := range 25 {
		f.FailedSessions = append(f.FailedSessions, &keepwardv1.Session{Id: int64(i), Type: "backup", Job: hostile, Ended: timestamppb.New(to), Failure: &keepwardv1.Failure{Message: hostile}})
	}
	for range 40 {
		f.Conditions = append(f.Conditions, &keepwardv1.Condition{Severity: "error", Text: hostile, Hint: hostile})
	}
	return f
}

func TestAReportTellsWhatNeedsAttentionAndHowMuchMoreThereIs(t *testing.T) {
	f := bad()
	f.Server = "keep"
	r, err := Write(f)
	if err != nil {
		t.Fatal(err)
	}
	if want := "[Keepward] keep, Tue 24 Nov: 25 failed, 2 not protected, 40 conditions"; r.Subject != want {
		t.Errorf("subject %q", r.Subject)
	}
	for _, want := range []string{
		"1 200 completed, 3 with warnings, 25 failed", "1 298 of 1 300 computers protected", "session 19, Tue 07:00", "and 5 more failed sessions", "and 10 more conditions",
		"2 of 1 300 computers without a restore point", "and 1 298 more computers", "holds 3.00 GiB (+100 MiB), free 1.00 GiB, full about 2027-11-24, not proved in time: 2 packs, 64.0 MiB",
		"+wpF.?+......F", "without for 3 days", "https://keep.example.org",
	} {
		if !strings.Contains(r.Text, want) {
			t.Errorf("the text does not say %q:\n%s", want, r.Text)
		}
	}
	if strings.Contains(r.Text, "session 20,") || strings.Contains(r.Text, "Nothing needs anybody") {
		t.Errorf("the text:\n%s", r.Text)
	}
}

func TestNamesInAReportAreText(t *testing.T) {
	for _, f := range []Facts{bad(), {Group: hostile, From: time.Unix(0, 0), To: time.Unix(86400, 0)}} {
		r, err := Write(f)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string]string{"subject": r.Subject, "text": r.Text, "HTML": r.HTML} {
			if strings.ContainsAny(text, "\x1b\u202e\r") || !utf8.ValidString(text) {
				t.Errorf("the %s holds what moves a cursor or turns the writing", what)
			}
		}
		if strings.Contains(r.Subject, "\n") || strings.Contains(r.Text, "\nBcc") {
			t.Errorf("a name makes a line of its own: %q\n%s", r.Subject, r.Text)
		}
		if strings.Contains(r.HTML, "<script") || !strings.Contains(r.HTML, "&lt;script&gt;") {
			t.Errorf("a name is markup:\n%s", r.HTML)
		}
		d := xml.NewDecoder(strings.NewReader(r.HTML))
		d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("the HTML cannot be read: %v", err)
			}
			if e, ok := token.(xml.StartElement); ok && (e.Name.Local == "script" || e.Name.Local == "link" || e.Name.Local == "form") {
				t.Errorf("the HTML has a %s", e.Name.Local)
			}
		}
	}
}

func TestAQuietReportSaysSo(t *testing.T) {
	to := time.Date(2026, 11, 24, 7, 0, 0, 0, time.UTC)
	r, err := Write(Facts{Server: "keep", Group: "shop", From: to.AddDate(0, 0, -7), To: to, Success: 7, Computers: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Subject != "[Keepward] group shop of keep, Tue 24 Nov: all is well" || !strings.Contains(r.Text, "Nothing needs anybody") || !strings.Contains(r.HTML, "Nothing needs anybody") {
		t.Errorf("%q\n%s", r.Subject, r.Text)
	}
	if r.Picture != nil || strings.Contains(r.HTML, "cid:") || strings.Contains(r.Text, "DAY BY DAY") {
		t.Error("it has a picture of no computers")
	}
}

func TestThePictureHasABoxForEachDay(t *testing.T) {
	f := bad()
	r, err := Write(f)
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(r.Picture))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`src="cid:days" width="%d" height="%d"`, img.Bounds().Dx()/fine, img.Bounds().Dy()/fine)
	if !strings.Contains(r.HTML, want) {
		t.Errorf("the HTML does not show it as %s", want)
	}
	at := func(day, row, dx, dy int) [3]uint32 {
		r, g, b, _ := img.At(nameWidth+day*step+dx, headRow+row*step+dy).RGBA()
		return [3]uint32{r >> 8, g >> 8, b >> 8}
	}
	of := func(i int) [3]uint32 {
		return [3]uint32{uint32(colors[i].R), uint32(colors[i].G), uint32(colors[i].B)}
	}
	middle := box / 2
	for day, want := range []int{0, 1, 2, 3} {
		if got := at(day, 0, fine/2, box-fine); got != of(want) {
			t.Errorf("the rim of day %d is %v, want %v", day, got, of(want))
		}
	}
	white := [3]uint32{255, 255, 255}
	for day, inside := range map[int]bool{0: false, 1: true, 3: true, 4: true, 5: true, 6: false} { // marked or empty in the middle
		if got := at(day, 0, middle, middle); (got == white) != inside {
			t.Errorf("the middle of day %d is %v", day, got)
		}
	}
	if at(2, 0, middle, middle/2) != white || at(2, 0, middle, box-middle/2) != of(2) {
		t.Error("what is not all there is not half full")
	}
	if at(13, 1, middle, middle) != of(0) || at(12, 1, middle, middle) != white { // whose one day is the last
		t.Error("a shorter row does not end today")
	}
	f.Days.Last = "tomorrow"
	if _, err := Write(f); err == nil {
		t.Error("days that nobody can name are drawn")
	}
}
