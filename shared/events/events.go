// Package events is for subscribers of fired reminders: it decodes the CloudEvents that Dapr delivers, one by one
// or in bulk.
package events

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Topic is where fired reminders are published. manifests/subscriptions says which
// functions get the topic's events, and at which path.
const Topic = "task-reminders"

// Route is the pattern of that path.
const Route = "POST /events/" + Topic

// Reminder is what an event says about the reminder that has fired.
type Reminder struct {
	TaskID    uuid.UUID  `json:"task_id"`
	UserID    string     `json:"user_id"`
	TaskTitle string     `json:"task_title"`
	DueDate   *time.Time `json:"due_date"` // null: the task has none any more
	// Occurrence is the one of a recurring task; others have none.
	Occurrence string `json:"occurrence,omitempty"`
}

// Event is a fired reminder, as it was published. The same ID is the same event, however
// often it comes.
type Event struct {
	ID uuid.UUID // the delivery's
	Reminder
}

// Subscriber handles events. It may get an event more than once, and several at a time.
type Subscriber struct {
	Caller auth.AppToken
	// Take handles some events: all of them, or none if it fails, and then all of them come
	// again. It returns how many were new, and the places of those that it refuses, since
	// whoever can write to the topic can publish anything. The same event may be there twice.
	Take func(context.Context, []Event) (fresh int, refused []int, err error)
}

// drop is the answer to Dapr for an event that must not come again.
const drop = "DROP"

// The answers that Dapr understands, for one event and for those of a bulk.
type (
	response struct {
		Status string `json:"status"`
	}
	bulkResponse struct {
		Statuses []entryStatus `json:"statuses"`
	}
	entryStatus struct {
		EntryID string `json:"entryId"`
		Status  string `json:"status"`
	}
)

const (
	// maxEvent is how many bytes an event may have: more than any of ours has.
	maxEvent = 1 << 20
	// maxEntry is how many bytes an entry of a bulk may have. A broker's default limit is a
	// mebibyte for a message, and daprd passes it on in base64. The entries of a bulk are read one after the
	// other, so a bulk takes no more memory than its largest entry.
	maxEntry = 4 << 20
)

// MaxBulk is how many events Receive takes at a time. No Subscription may ask for more.
const MaxBulk = 1000

// Receive serves Route: one event, or a bulk of them. An event that can't be read is dropped, and so is
// one that Take refuses: it would be no better the next time, and would hold up the events behind it. The
// others of its bulk are taken.
func (s Subscriber) Receive(w http.ResponseWriter, r *http.Request) error {
	if err := s.Caller.Check(r); err != nil {
		return err
	}
	brought, bulk, err := read(r.Body)
	if err != nil {
		slog.WarnContext(r.Context(), "events can't be read, and come again", "error", err) // daprd does not log the answer
		return err
	}
	events := make([]Event, 0, len(brought))
	statuses := make([]entryStatus, 0, len(brought))
	var places []int // of events, in what was brought
	for i, b := range brought {
		status := "SUCCESS"
		if b.err != nil {
			status = drop
			slog.WarnContext(r.Context(), "an event that makes no sense is dropped", "error", b.err)
		} else {
			events, places = append(events, b.event), append(places, i)
		}
		statuses = append(statuses, entryStatus{b.entry, status})
	}
	fresh := 0
	var refused []int
	if len(events) > 0 {
		if fresh, refused, err = s.Take(r.Context(), events); err != nil {
			metrics.EventsReceived("failed", len(events))
			return err
		}
	}
	if len(refused) > 0 {
		slog.WarnContext(r.Context(), "events that no delivery of ours has published are dropped", "events", len(refused), "first_id", events[refused[0]].ID)
	}
	for _, i := range refused {
		statuses[places[i]].Status = drop
	}
	metrics.EventsReceived("taken", fresh)
	metrics.EventsReceived("repeated", len(events)-len(refused)-fresh)
	metrics.EventsReceived("refused", len(refused))
	metrics.EventsReceived("malformed", len(brought)-len(events))
	if bulk {
		return web.WriteJSON(w, http.StatusOK, bulkResponse{statuses})
	}
	return web.WriteJSON(w, http.StatusOK, response{statuses[0].Status})
}

// brought is an event as Dapr delivers it.
type brought struct {
	entry string // its name in the bulk
	event Event
	err   error // why it makes no sense
}

// cloudEvent has the members of a CloudEvent in JSON that are needed. If daprd has wrapped an event
// in one of its own, the event is in data_base64.
type cloudEvent struct {
	ID     string   `json:"id"`
	Data   Reminder `json:"data"`
	Base64 []byte   `json:"data_base64"`
}

// entries are those of a bulk.
type entries []brought

// read reads a request of Dapr's. It fails if there can be no answer for each event, because
// a bulk breaks off or is too large. Then Dapr sends the bulk again.
func read(body io.Reader) (events []brought, bulk bool, err error) {
	in := allowance{body: body, left: maxEvent}
	var outer struct {
		cloudEvent
		Entries entries `json:"entries"`
	}
	err = json.UnmarshalRead(&in, &outer, json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, to *entries) error {
		if dec.PeekKind() != jsontext.KindBeginArray {
			return errors.New("entries must be an array")
		}
		bulk = true
		if _, err := dec.ReadToken(); err != nil {
			return err
		}
		for dec.PeekKind() != jsontext.KindEndArray {
			if len(*to) == MaxBulk {
				return fmt.Errorf("a bulk has more than %d entries: lower maxMessagesCount in the Subscription", MaxBulk)
			}
			in.left = maxEntry
			var entry struct {
				ID    string         `json:"entryId"`
				Event jsontext.Value `json:"event"`
			}
			if err := json.UnmarshalDecode(dec, &entry); err != nil {
				return err
			}
			event, err := parseEntry(entry.Event)
			*to = append(*to, brought{entry.ID, event, err})
		}
		in.left = maxEvent
		_, err := dec.ReadToken()
		return err
	})))
	switch {
	case in.broke != nil:
		return nil, bulk, fault.Unavailable(in.broke, "the events broke off on their way") // they come again, whole
	case bulk && err != nil:
		return nil, bulk, fault.Invalid("the bulk can't be read: %v", err)
	case bulk:
		return outer.Entries, bulk, nil
	}
	one := brought{err: err}
	if err == nil {
		one.event, one.err = outer.event()
	} else if _, err := io.Copy(io.Discard, body); err != nil { // who has not sent all does not hear the answer
		return nil, bulk, fault.Unavailable(err, "the event broke off on its way")
	}
	return []brought{one}, bulk, nil
}

// parseEntry reads the event of an entry: in base64 as it was published, or as the
// CloudEvent that daprd has read (without rawPayload).
func parseEntry(value jsontext.Value) (Event, error) {
	if len(value) > maxEvent {
		return Event{}, errTooLarge
	}
	if value.Kind() != jsontext.KindString {
		return parse(value)
	}
	var message []byte
	if err := json.Unmarshal(value, &message); err != nil {
		return Event{}, err
	}
	return parse(message)
}

// parse reads an event as it was published. Members that it does not know are of a later version, and
// are ignored.
func parse(message []byte) (Event, error) {
	var c cloudEvent
	if err := json.Unmarshal(message, &c); err != nil {
		return Event{}, err
	}
	c.Base64 = nil // only daprd wraps
	return c.event()
}

func (c cloudEvent) event() (Event, error) {
	if c.Base64 != nil {
		return parse(c.Base64)
	}
	id, err := uuid.Parse(c.ID)
	if err != nil {
		return Event{}, fmt.Errorf("its id: %w", err)
	}
	e := Event{id, c.Data}
	return e, e.validate()
}

// allowance is a reader that fails after so many bytes.
type allowance struct {
	body  io.Reader
	left  int
	broke error // why the body can't be read
}

var errTooLarge = errors.New("it is too large")

func (a *allowance) Read(p []byte) (n int, err error) {
	if a.left <= 0 {
		return 0, errTooLarge
	}
	n, err = a.body.Read(p[:min(len(p), a.left)])
	a.left -= n
	if err != nil && err != io.EOF { //nolint:errorlint // a Reader's is never wrapped
		a.broke = err
	}
	return n, err
}

// validate refuses what could not be stored.
func (e Event) validate() error {
	switch users, title := utf8.RuneCountInString(e.UserID), utf8.RuneCountInString(e.TaskTitle); {
	case e.ID == uuid.Nil:
		return errors.New("it has no id")
	case e.TaskID == uuid.Nil:
		return errors.New("it has no task_id")
	case users == 0 || users > 255:
		return errors.New("user_id must have 1 to 255 characters")
	case title == 0 || title > task.MaxTitle:
		return errors.New("task_title must have 1 to 500 characters")
	case strings.ContainsRune(e.UserID+e.TaskTitle, 0):
		return errors.New("user_id and task_title must not contain the NUL character")
	case e.DueDate != nil && (e.DueDate.UTC().Year() < task.MinYear || e.DueDate.UTC().Year() > task.MaxYear):
		return errors.New("due_date must lie between the years 1970 and 9999")
	}
	return nil
}
