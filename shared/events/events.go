// Package events is what a subscriber of fired reminders needs: what an event says, and
// how Dapr brings it.
package events

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Topic is where fired reminders are published. manifests/subscriptions says which
// functions are brought what is there, and to which path.
const Topic = "task-reminders"

// Route is the pattern of that path.
const Route = "POST /events/" + Topic

// Reminder is what an event says about the reminder that has fired.
type Reminder struct {
	TaskID    uuid.UUID  `json:"task_id"`
	UserID    string     `json:"user_id"`
	TaskTitle string     `json:"task_title"`
	DueDate   *time.Time `json:"due_date"` // null: the task has none any more
}

// Event is a fired reminder, as it was published. The same ID is the same event, however
// often it comes.
type Event struct {
	ID uuid.UUID // the delivery's
	Reminder
}

// Subscriber takes events. It may be brought one more than once, and several at a time.
type Subscriber struct {
	Caller auth.AppToken
	// Take does what there is to do for an event, and reports whether it was new. If it
	// fails, the event comes again.
	Take func(context.Context, Event) (fresh bool, err error)
}

// response is what Dapr wants to hear.
type response struct {
	Status string `json:"status"`
}

// maxBody is more than any event of ours has.
const maxBody = 1 << 20

// Receive serves Route. What makes no sense is dropped: it would make no more when it
// comes again, and hold up what is behind it.
func (s Subscriber) Receive(w http.ResponseWriter, r *http.Request) error {
	if err := s.Caller.Check(r); err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); err != nil && !tooLarge {
		return fault.Unavailable(err, "the event broke off on its way") // it comes again, whole
	}
	var e Event
	if err == nil {
		e, err = parse(body)
	}
	if err != nil {
		metrics.EventReceived("malformed")
		slog.WarnContext(r.Context(), "an event that makes no sense is dropped", "error", err)
		return web.WriteJSON(w, http.StatusOK, response{"DROP"})
	}
	fresh, err := s.Take(r.Context(), e)
	switch {
	case err != nil:
		metrics.EventReceived("failed")
		return err
	case fresh:
		metrics.EventReceived("taken")
	default:
		metrics.EventReceived("repeated")
	}
	return web.WriteJSON(w, http.StatusOK, response{"SUCCESS"})
}

// cloudEvent is what counts of a CloudEvent in JSON. daprd wraps what it brings: then the
// event is what data_base64 holds.
type cloudEvent struct {
	ID     uuid.UUID `json:"id"`
	Data   Reminder  `json:"data"`
	Base64 []byte    `json:"data_base64"`
}

// parse reads an event. What it has besides is of a later version, and nobody's concern
// here.
func parse(body []byte) (Event, error) {
	var outer cloudEvent
	if err := json.Unmarshal(body, &outer); err != nil {
		return Event{}, err
	}
	event := outer
	if outer.Base64 != nil {
		event = cloudEvent{}
		if err := json.Unmarshal(outer.Base64, &event); err != nil {
			return Event{}, err
		}
	}
	e := Event{event.ID, event.Data}
	return e, e.validate()
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
