package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"keepward/internal/words"
)

// Message is what goes to a target: the same at every try.
type Message struct {
	Event   Event  `json:"event"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
	// HTML is what mail shows in the place of Body; empty: nothing. Pictures are what it shows, PNG by their name.
	HTML     string            `json:"html,omitempty"`
	Pictures map[string][]byte `json:"pictures,omitempty"`
}

// NewMessage writes an event by the templates of a rule; those that are empty, or that fail though
// they were checked, are the defaults.
func NewMessage(e Event, subject, body string, zone *time.Location) Message {
	f := FieldsOf(e, zone)
	m := Message{Event: e}
	var err error
	if m.Subject, err = Subject(subject, f); err != nil {
		m.Subject, _ = Subject("", f)
	}
	if m.Body, err = Body(body, f); err != nil {
		m.Body, _ = Body("", f)
		m.Body += "\n(The template of the rule could not be filled in: " + words.Safe(err.Error()) + ")\n"
	}
	return m
}

// Encode and Decode keep a message in the outbox.
func (m Message) Encode() ([]byte, error) { return json.Marshal(m) }

// Decode reads what Encode wrote.
func Decode(b []byte) (m Message, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("read message of the outbox: %w", err)
	}
	return m, nil
}

// Sender hands messages over. It answers what the other side said, in a line that can be shown; with
// an error it is not known to have arrived.
type Sender interface {
	Send(ctx context.Context, m Message) (answer string, err error)
}

// shown is what is kept of the words of the other side.
func shown(s string) string { return Cut(words.Safe(strings.TrimSpace(s)), answerShown) }
