// audit-log records every fired reminder. It subscribes to the topic task-reminders, and adds each
// event to the table audit_events once, however often it is delivered. The database refuses changes
// of rows. Dapr calls it with the app API token.
//
// Malformed events are dropped and counted. So are events that match no published delivery, since
// other programs may write to the topic. While the database is away, Dapr delivers events again
// until they are recorded.
package main

import (
	"context"

	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/events"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/web"
)

// Config is the function's configuration.
type Config struct {
	Caller auth.AppToken
	Store  store.Config
}

// New returns the function. It connects to nothing before the first request.
func New(cfg Config) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	subscriber := events.Subscriber{Caller: cfg.Caller, Take: func(ctx context.Context, es []events.Event) (int, []int, error) {
		records := make([]store.Event, len(es))
		for i, e := range es {
			records[i] = store.Event{ID: e.ID, TaskID: e.TaskID, UserID: e.UserID, TaskTitle: e.TaskTitle, DueDate: e.DueDate}
		}
		return s.RecordEvents(ctx, records)
	}}
	return &function.Function{
		Handler: web.NewMux(web.Routes{events.Route: subscriber.Receive}),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Close:   s.Close,
	}, nil
}
