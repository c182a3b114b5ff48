// Package api has the JSON of the public API: what a task looks like going in
// and coming out, and how it becomes the task that the rules know.
package api

import (
	"context"
	"crypto/sha256"
	stdjson "encoding/json" // knows durations
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// Task is a task coming out.
type Task struct {
	ID     uuid.UUID `json:"id"`
	UserID string    `json:"user_id"`
	Title  string    `json:"title"`
	Notes  string    `json:"notes"`
	// DueDate is the instant at which it is due, in whichever form that was given.
	DueDate  *time.Time `json:"due_date"`
	DueLocal *string    `json:"due_local"`
	DueOn    *string    `json:"due_on"`
	TimeZone *string    `json:"time_zone"`
	// Recurrence is how it comes again; null: it does not.
	Recurrence     *Recurrence     `json:"recurrence"`
	Occurrence     *string         `json:"occurrence"`      // the current one
	NextOccurrence *string         `json:"next_occurrence"` // the one after that, if it is known
	Repeat         *Repeat         `json:"repeat"`          // null: what was told is not repeated
	SnoozedUntil   *time.Time      `json:"snoozed_until"`   // null: it is not snoozed
	Completed      bool            `json:"completed"`
	Channels       *[]task.Channel `json:"channels"` // null: the preferences decide
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
	Version        int64           `json:"version"`
	Reminders      []Reminder      `json:"reminders"`
}

// Recurrence is how a task comes again.
type Recurrence struct {
	Rule   string          `json:"rule"`
	Skip   recurrence.Skip `json:"skip"`
	From   recurrence.From `json:"from"`
	Except []string        `json:"except"`
}

// Definition is the recurrence as the rules know it.
func (r Recurrence) Definition() *recurrence.Definition {
	d := recurrence.Definition(r)
	return &d
}

// Reminder is a task's reminder coming out.
type Reminder struct {
	ID     uuid.UUID  `json:"id"`
	Kind   task.Kind  `json:"kind"`
	Before string     `json:"before,omitempty"` // of those of [task.KindDue]
	FireAt *time.Time `json:"fire_at"`
	State  string     `json:"state"`
}

// NewTask is how a task is shown. expected is up to when its reminders should be with
// Dapr, see [task.Horizon].
func NewTask(t task.Task, expected time.Time) Task {
	out := Task{
		ID: t.ID, UserID: t.UserID, Title: t.Title, Notes: t.Notes, DueDate: t.DueDate, Completed: t.Completed,
		CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, Version: t.Version,
		Reminders: make([]Reminder, 0, len(t.Reminders)),
	}
	switch local := t.Due.Local.String(); t.Due.Form {
	case task.ByClock:
		out.DueLocal = &local
	case task.ByDay:
		local = t.Due.Local.DateString()
		out.DueOn = &local
	}
	if t.Due.Zone != "" {
		out.TimeZone = &t.Due.Zone
	}
	if t.Recurs() {
		shown := Recurrence(*t.Recurrence)
		if shown.Except == nil {
			shown.Except = []string{}
		}
		out.Recurrence = &shown
		current, next := t.Current(t.Clock, time.Now())
		if current != nil {
			text := t.Show(current.Local)
			out.DueDate, out.Occurrence = &current.Instant, &text
		}
		if next != nil {
			text := t.Show(next.Local)
			out.NextOccurrence = &text
		}
	}
	if t.Channels != nil {
		out.Channels = &t.Channels
	}
	if t.Repeat != nil {
		out.Repeat = &Repeat{Every: wallclock.Offset{Exact: t.Repeat.Every}.String(), Times: t.Repeat.Times}
	}
	out.SnoozedUntil = t.SnoozedUntil(nil)
	for _, r := range t.Reminders {
		shown := Reminder{ID: r.ID, Kind: r.Kind, FireAt: r.FireAt, State: r.Status(expected)}
		switch {
		case !r.Besides():
			shown.Before = r.Before.String()
		case r.State != task.Armed:
			continue // it is over
		}
		out.Reminders = append(out.Reminders, shown)
	}
	return out
}

// TaskInput is a task going in. What Duebell alone sets is taken, so that what GET
// gave can be sent back: CheckNew and CheckChange refuse it where it contradicts, and
// otherwise it is ignored.
type TaskInput struct {
	Title      web.Optional[string]          `json:"title"`
	Notes      web.Optional[string]          `json:"notes"`
	DueDate    web.Optional[web.Time]        `json:"due_date"`
	DueLocal   web.Optional[localTime]       `json:"due_local"`
	DueOn      web.Optional[localDate]       `json:"due_on"`
	TimeZone   web.Optional[string]          `json:"time_zone"`
	Recurrence web.Optional[recurrenceInput] `json:"recurrence"`
	Reminders  web.Optional[[]offset]        `json:"reminders"`
	Completed  web.Optional[bool]            `json:"completed"`
	Channels   web.Optional[[]task.Channel]  `json:"channels"`
	Repeat     web.Optional[repeatInput]     `json:"repeat"`

	ID        jsontext.Value `json:"id"`
	UserID    *string        `json:"user_id"`
	CreatedAt jsontext.Value `json:"created_at"`
	UpdatedAt jsontext.Value `json:"updated_at"`
	Version   *int64         `json:"version"`

	Occurrence     jsontext.Value `json:"occurrence"`
	NextOccurrence jsontext.Value `json:"next_occurrence"`
	SnoozedUntil   jsontext.Value `json:"snoozed_until"`
}

// recurrenceInput is a recurrence going in.
type recurrenceInput struct {
	Rule   *string         `json:"rule"`
	Skip   recurrence.Skip `json:"skip"`
	From   recurrence.From `json:"from"`
	Except []string        `json:"except"`
}

// definition is the recurrence as the rules know it.
func (r recurrenceInput) definition() (*recurrence.Definition, error) {
	if r.Rule == nil {
		return nil, fault.Invalid("recurrence needs \"rule\", such as \"FREQ=WEEKLY;BYDAY=MO\"; null means that the task does not come again")
	}
	return Recurrence{Rule: *r.Rule, Skip: r.Skip, From: r.From, Except: r.Except}.Definition(), nil
}

// NewDraft is the new task that the input describes: what is left out has its default. It is validated.
// A due date in two forms is refused, unless one is an instant: whether they mean the same is known
// when the other one is derived.
func (in TaskInput) NewDraft() (task.Draft, error) {
	var d task.Draft
	if err := in.into(&d); err != nil {
		return d, err
	}
	if in.DueDate.Given() && d.Due.Wall() {
		due := time.Time(in.DueDate.Value)
		d.DueDate = &due
	}
	return d, d.Validate()
}

// Draft is the task that the input describes as a whole (PUT): what is left out has its default. It is
// validated. An instant beside another form of the due date is what GET gave, and is ignored.
func (in TaskInput) Draft() (task.Draft, error) { return in.Patch(task.Draft{}) }

// Patch is what the input makes of a task as a JSON merge patch (RFC 7396):
// what is left out stays, and null brings back the default. One form of the due date takes the
// place of the others. It is validated.
func (in TaskInput) Patch(d task.Draft) (task.Draft, error) {
	if err := in.into(&d); err != nil {
		return d, err
	}
	return d, d.Validate()
}

// into writes the input into a draft.
func (in TaskInput) into(d *task.Draft) error {
	if in.Title.Present {
		d.Title = in.Title.Value
	}
	if in.Notes.Present {
		d.Notes = in.Notes.Value
	}
	if in.Completed.Present {
		d.Completed = in.Completed.Value
	}
	if err := in.dueInto(d); err != nil {
		return err
	}
	if in.Recurrence.Present {
		d.Recurrence = nil
	}
	if in.Recurrence.Given() {
		definition, err := in.Recurrence.Value.definition()
		if err != nil {
			return err
		}
		d.Recurrence = definition
	}
	if in.Channels.Present {
		d.Channels = in.Channels.Value // null: nil
	}
	if in.Repeat.Present {
		d.Repeat = nil
	}
	if in.Repeat.Given() {
		repeat, err := in.Repeat.Value.rule()
		if err != nil {
			return err
		}
		d.Repeat = repeat
	}
	if in.Reminders.Present {
		d.Before = nil // null: as the preferences say
	}
	if in.Reminders.Given() {
		d.Before = make([]task.Offset, 0, len(in.Reminders.Value))
		for _, o := range in.Reminders.Value {
			if !o.ignored {
				d.Before = append(d.Before, o.Offset)
			}
		}
	}
	return nil
}

// dueInto writes the due date into a draft.
func (in TaskInput) dueInto(d *task.Draft) error {
	had := d.Due.Form
	switch {
	case in.DueLocal.Given() && in.DueOn.Given():
		return fault.Invalid("due_local and due_on are two due dates: give due_local for a time of day, or due_on for the whole day")
	case in.DueLocal.Given():
		d.DueDate, d.Due.Form, d.Due.Local = nil, task.ByClock, wallclock.Time(in.DueLocal.Value)
	case in.DueOn.Given():
		d.DueDate, d.Due.Form, d.Due.Local = nil, task.ByDay, wallclock.Time(in.DueOn.Value)
	case in.DueDate.Given():
		due := time.Time(in.DueDate.Value)
		d.DueDate, d.Due.Form, d.Due.Local = &due, task.ByInstant, wallclock.Time{}
	case in.DueDate.Null, in.DueLocal.Null && had == task.ByClock, in.DueOn.Null && had == task.ByDay:
		d.DueDate, d.Due = nil, task.Due{}
	}
	if in.TimeZone.Given() && in.TimeZone.Value == "" {
		return fault.Invalid("time_zone is empty: name a zone such as \"Europe/Paris\", or leave it out")
	}
	if in.TimeZone.Present {
		d.Due.Zone = in.TimeZone.Value // null: ""
	}
	return nil
}

// CheckNew refuses input for a new task of a user that says it is another's (forbidden),
// or has an id (invalid).
func (in TaskInput) CheckNew(userID string) error {
	if err := in.checkUser(userID); err != nil {
		return err
	}
	if in.hasID() {
		return fault.Invalid("id is set by Duebell: leave it out")
	}
	return nil
}

// CheckChange refuses input for a user's task, the one with that id, that says it is
// another's (forbidden), or another task (invalid).
func (in TaskInput) CheckChange(userID string, id uuid.UUID) error {
	if err := in.checkUser(userID); err != nil {
		return err
	}
	var given uuid.UUID
	if in.hasID() && (json.Unmarshal(in.ID, &given) != nil || given != id) {
		return fault.Invalid("id in the body is not the task of the path; leave it out, or change the right one")
	}
	return nil
}

func (in TaskInput) hasID() bool { return in.ID != nil && in.ID.Kind() != 'n' }

func (in TaskInput) checkUser(userID string) error {
	if in.UserID != nil && *in.UserID != userID {
		return fault.Forbidden("user_id is another user: leave it out; to act for your users, send the header %s, with a token that has the scope act", auth.UserHeader)
	}
	return nil
}

// CheckVersion says whether the input may change a task at a version. It may not if it
// was made from another version; the error is answered with 412.
func (in TaskInput) CheckVersion(version int64) error {
	if in.Version != nil && *in.Version != version {
		return errStale
	}
	return nil
}

// localTime is a due_local going in.
type localTime wallclock.Time

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *localTime) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readText(decoder, "a local time, such as 2026-12-01T09:00", (*wallclock.Time)(t), wallclock.Parse)
}

// localDate is a due_on going in.
type localDate wallclock.Time

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (t *localDate) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	return readText(decoder, "a date, such as 2026-12-01", (*wallclock.Time)(t), wallclock.ParseDate)
}

// readText reads a string, and from that what it says. what says what it is to be.
func readText[T any](decoder *jsontext.Decoder, what string, into *T, parse func(string) (T, error)) (err error) {
	if decoder.PeekKind() != '"' {
		if err := decoder.SkipValue(); err != nil {
			return err
		}
		return fault.Invalid("must be %s", what)
	}
	var text string
	if err := json.UnmarshalDecode(decoder, &text); err != nil {
		return err
	}
	*into, err = parse(text)
	return err
}

// offset is a reminder going in: "30m", or an object as it comes out, of which
// only "before" counts. A snooze or a repetition is ignored.
type offset struct {
	task.Offset
	ignored bool
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (o *offset) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	var text string
	switch decoder.PeekKind() {
	case '"':
		if err := json.UnmarshalDecode(decoder, &text); err != nil {
			return err
		}
	case '{':
		var r struct {
			Before *string        `json:"before"`
			Kind   task.Kind      `json:"kind"`
			ID     jsontext.Value `json:"id"`
			FireAt jsontext.Value `json:"fire_at"`
			State  jsontext.Value `json:"state"`
		}
		if err := json.UnmarshalDecode(decoder, &r, json.RejectUnknownMembers(true)); err != nil {
			return err
		}
		if o.ignored = (task.Reminder{Kind: r.Kind}).Besides(); o.ignored {
			return nil
		}
		if r.Before == nil {
			return fault.Invalid("needs \"before\", the offset before the due date, such as \"30m\"")
		}
		text = *r.Before
	default:
		if err := decoder.SkipValue(); err != nil {
			return err
		}
		return fault.Invalid("must be an offset before the due date, such as \"30m\"")
	}
	var err error
	o.Offset, err = wallclock.ParseOffset(text)
	return err
}

// ETag is the entity tag of a thing at a version: it changes with each change.
func ETag(version int64) string { return fmt.Sprintf("%q", fmt.Sprint(version)) }

// CheckIfMatch says whether a change may be made to a thing at a version, as the
// request's If-Match header demands (RFC 9110, section 13.1.1); without one it may.
// The error is answered with 412, or with 400 for what is no list of entity tags. A weak
// tag never matches.
func CheckIfMatch(r *http.Request, version int64) error {
	conditions := r.Header.Values("If-Match")
	if len(conditions) == 0 {
		return nil
	}
	list := strings.TrimSpace(strings.Join(conditions, ","))
	if list == "*" {
		return nil
	}
	if !entityTags.MatchString(list) {
		return fault.Invalid("If-Match must be the ETag as it came, with its quotes, such as %s, not %.40q", ETag(3), list)
	}
	err := errWeak
	for _, tag := range entityTag.FindAllString(list, -1) {
		if tag == ETag(version) {
			return nil
		}
		if !strings.HasPrefix(tag, "W/") {
			err = errStale
		}
	}
	return err
}

var (
	errStale = web.WithStatus(fault.Conflict("it has changed since you read it; GET it again and repeat your change"), http.StatusPreconditionFailed)
	errWeak  = web.WithStatus(fault.Conflict("If-Match has a weak tag (W/), and those never match; send the ETag as it came, without W/: what compresses answers may have added it"), http.StatusPreconditionFailed)
)

// An entity tag, and a list of them (RFC 9110, section 8.8.3). Lists may have empty
// elements (section 5.6.1).
var (
	entityTag  = regexp.MustCompile(`(?:W/)?"[^"\x00-\x20\x7f]*"`)
	entityTags = regexp.MustCompile(`^[ \t,]*` + entityTag.String() + `(?:[ \t]*,[ \t]*(?:` + entityTag.String() + `)?)*$`)
)

// Asked is what a new task's draft asks for, in the form that its request is known by when it comes
// again, also if it then meets another version of the function.
func Asked(d task.Draft) any {
	if d.Before == nil {
		d.Before = task.DefaultBefore()
	}
	before := make([]any, len(d.Before))
	for i, o := range d.Before {
		before[i] = o.Exact
		if o.Days != 0 {
			before[i] = o.String()
		}
	}
	return struct {
		Title, Notes string
		DueDate      *time.Time
		Completed    bool
		Channels     []task.Channel
		Before       []any
		Due          task.Due               `json:",omitzero"`
		Recurrence   *recurrence.Definition `json:",omitzero"`
		Repeat       *task.Repeat           `json:",omitzero"`
	}{d.Title, d.Notes, d.DueDate, d.Completed, d.Channels, before, d.Due, d.Recurrence, d.Repeat}
}

// IdempotencyKey is the request's Idempotency-Key header, for a user who asks for
// something; nil if there is none.
func IdempotencyKey(r *http.Request, userID string, asked any) (*store.IdempotencyKey, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return nil, nil
	}
	if key := values[0]; len(values) > 1 || key == "" || len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return nil, fault.Invalid("Idempotency-Key must be one header of 1 to %d visible ASCII characters, such as a UUID", maxKey)
	}
	request, err := stdjson.Marshal(asked)
	if err != nil {
		return nil, fmt.Errorf("fingerprint the request: %w", err)
	}
	return &store.IdempotencyKey{UserID: userID, Key: values[0], Request: sha256.Sum256(request)}, nil
}

const maxKey = 255

// UserAndID returns who makes a request, and the id that its path has in a segment. Who is not
// signed in learns nothing of the id.
func UserAndID(signIn *auth.Verifier, r *http.Request, segment string) (user auth.User, id uuid.UUID, err error) {
	if user, err = signIn.User(r); err == nil {
		id, err = web.PathUUID(r, segment)
	}
	return user, id, err
}

// Owner is a signed-in user as the store records them: with the address that
// their issuer has verified, if there is one to write to.
func Owner(u auth.User) store.User {
	owner := store.User{ID: u.ID, KeepEmail: !u.EmailClaim, AsOf: u.IssuedAt}
	if _, err := preferences.ASCIIAddress(u.Email); u.EmailVerified && err == nil {
		owner.Email = &u.Email
	}
	return owner
}

// SignInRecords has recorded in s the address that a user's token tells, if the user is on record
// there, and what is asked for in another user's name.
func SignInRecords(s *store.Store) auth.Records {
	return auth.Records{
		Address: func(ctx context.Context, u auth.User) (settled bool, err error) {
			return s.UpdateAddress(ctx, Owner(u))
		},
		Act: func(ctx context.Context, u auth.User, method, path string) error {
			return s.RecordAct(ctx, store.Act{Caller: u.Caller, UserID: u.ID, Method: method, Path: path})
		},
	}
}
