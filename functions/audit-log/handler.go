// audit-log keeps a record of every reminder that has fired: it subscribes to the topic
// task-reminders, and adds each event to the table audit_events, once, however often
// it is brought. Rows are never changed: the database refuses that. Dapr calls it with
// the app API token.
//
// What makes no sense is dropped, and counted; so is what is not of a delivery that was
// published, which whoever can write to the topic could make. While the database is away, Dapr brings
// events again until they are recorded.
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

// New makes the function. Nothing is connected before the first request.
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
