package main

import (
	"net/http"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

type history struct {
	Occurrences []settled `json:"occurrences"`
	// NextBefore is the parameter before for the next page; null on the last one.
	NextBefore *time.Time `json:"next_before"`
}

type settled struct {
	Occurrence string       `json:"occurrence"`
	Series     int64        `json:"series"`
	DueDate    time.Time    `json:"due_date"`
	State      task.Settled `json:"state"`
	At         time.Time    `json:"at"`
}

// occurrences returns the history of a recurring task, the newest first.
func (h handler) occurrences(w http.ResponseWriter, r *http.Request) error {
	user, id, err := api.UserAndID(h.signIn, r, "task_id")
	if err != nil {
		return err
	}
	q := web.Query(r)
	before, limit := q.Time("before"), q.Int("limit", defaultLimit, 1, maxLimit)
	if err := q.Err(); err != nil {
		return err
	}
	t, list, err := h.store.ListOccurrences(r.Context(), user.ID, id, before, limit)
	if err != nil {
		return err
	}
	out := history{Occurrences: make([]settled, 0, len(list))}
	for _, o := range list {
		out.Occurrences = append(out.Occurrences, settled{t.Show(o.Local), o.Series, o.Instant, o.State, o.At})
	}
	if len(list) == limit {
		out.NextBefore = &list[limit-1].Instant
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

// previewed is a recurrence that is not of a stored task.
type previewed struct {
	api.TaskInput
	Count *int `json:"count"`
}

type preview struct {
	Occurrences []previewedTime `json:"occurrences"`
	Text        string          `json:"text"`
}

type previewedTime struct {
	Local   string    `json:"local"`
	Instant time.Time `json:"instant"`
	Note    string    `json:"note,omitzero"`
}

const (
	defaultPreview = 5
	maxPreview     = 50
)

// preview returns the first occurrences of a recurrence, and the rule in words.
func (h handler) preview(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	var in previewed
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	count := defaultPreview
	if in.Count != nil {
		count = *in.Count
	}
	if count < 1 || count > maxPreview {
		return fault.Invalid("count must be between 1 and %d", maxPreview)
	}
	if !in.Recurrence.Given() {
		return fault.Invalid("recurrence is missing: give {\"rule\": \"FREQ=WEEKLY;BYDAY=MO\"}, say")
	}
	in.Title = web.Optional[string]{Present: true, Value: "x"} // a task has one
	draft, err := in.Draft()
	if err != nil {
		return err
	}
	habits := preferences.Default(false).Habits()
	if draft.Due.Zone == "" || draft.Due.Form == task.ByDay {
		if habits, err = h.store.GetHabits(r.Context(), user.ID); err != nil {
			return err
		}
	}
	if err := draft.Derive(habits.Clock); err != nil {
		return err
	}
	if err := draft.CheckRecurrence(habits.Clock); err != nil {
		return err
	}
	series, err := draft.Occurrences(habits.Clock)
	if err != nil {
		return err
	}
	out := preview{Occurrences: []previewedTime{}, Text: series.Describe()}
	o, ok := series.First()
	for ; ok && len(out.Occurrences) < count; o, ok = series.After(o) {
		out.Occurrences = append(out.Occurrences, previewedTime{draft.Show(o.Local), o.Instant, series.Note(o)})
		if draft.FromCompletion() {
			break // the next one depends on when this one is completed
		}
	}
	return web.WriteJSON(w, http.StatusOK, out)
}
