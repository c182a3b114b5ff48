package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/text"
	"github.com/duebell/duebell/shared/web"
)

type page struct {
	Tasks      []api.Task `json:"tasks"`
	NextCursor *string    `json:"next_cursor"` // null on the last page
}

func (h handler) list(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	filter, err := readFilter(r)
	if err != nil {
		return err
	}
	tasks, next, err := h.store.ListTasks(r.Context(), user.ID, filter)
	if err != nil {
		return err
	}
	out := page{Tasks: make([]api.Task, 0, len(tasks))}
	for _, t := range tasks {
		out.Tasks = append(out.Tasks, api.NewTask(t, h.horizon.Expected(time.Now())))
	}
	if next != nil {
		cursor := formatCursor(filter, *next)
		out.NextCursor = &cursor
	}
	return web.WriteJSON(w, http.StatusOK, out)
}

const (
	defaultLimit = 100
	maxLimit     = 500
)

func readFilter(r *http.Request) (f store.Filter, err error) {
	q := web.Query(r)
	f.Completed = q.Bool("completed")
	f.DueBefore = q.Time("due_before")
	f.DueAfter = q.Time("due_after")
	f.Limit = q.Int("limit", defaultLimit, 1, maxLimit)
	words := q.String("q")
	f.Sort = store.TaskSort(cmp.Or(q.String("sort"), string(store.ByCreation)))
	order := q.String("order")
	cursor := q.String("cursor")
	switch {
	case f.Sort != store.ByCreation && f.Sort != store.ByDueDate:
		return f, fault.Invalid("sort must be due_date or created_at, not %.40q", f.Sort)
	case order != "" && order != ascending && order != descending:
		return f, fault.Invalid("order must be asc or desc, not %.40q", order)
	case utf8.RuneCountInString(words) > maxWords:
		return f, fault.Invalid("q must not be longer than %d characters", maxWords)
	case !utf8.ValidString(words) || text.Control(words, "\t\n") != "":
		return f, fault.Invalid("q must be text in UTF-8 without control characters")
	}
	f.Words = strings.Fields(words)
	f.Ascending = order == ascending || order == "" && f.Sort == store.ByDueDate
	if cursor != "" {
		if f.After, err = parseCursor(cursor, f); err != nil {
			return f, err
		}
	}
	return f, q.Err()
}

// The values of order. The default is asc by due date, and desc by creation.
const (
	ascending  = "asc"
	descending = "desc"
)

// maxWords is the greatest length of q, in characters.
const maxWords = 200

// cursor is where a page ends, and of which list.
type cursor struct {
	Sort      store.TaskSort  `json:"sort"`
	Ascending bool            `json:"ascending"`
	Place     store.ListPlace `json:"place"`
}

// formatCursor encodes a cursor, so that clients do not build their own.
func formatCursor(f store.Filter, p store.ListPlace) string {
	content, err := json.Marshal(cursor{f.Sort, f.Ascending, p})
	if err != nil {
		panic(err) // no value of the type fails
	}
	return base64.RawURLEncoding.EncodeToString(content)
}

// parseCursor decodes a cursor. The error is invalid if it is of another list than the filter's.
func parseCursor(encoded string, f store.Filter) (*store.ListPlace, error) {
	content, err := base64.RawURLEncoding.DecodeString(encoded)
	var c cursor
	if err == nil {
		err = json.Unmarshal(content, &c)
	}
	if err != nil {
		return nil, fault.Invalid("cursor is not one that this list gave out; take it from next_cursor, or leave it out to start anew")
	}
	if c.Sort != f.Sort || c.Ascending != f.Ascending {
		order := descending
		if c.Ascending {
			order = ascending
		}
		return nil, fault.Invalid("cursor is of a list with sort=%.40s and order=%s: ask for its next page with the same, or leave cursor out to start anew", c.Sort, order)
	}
	return &c.Place, nil
}
