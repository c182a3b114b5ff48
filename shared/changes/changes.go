// Package changes makes the functions that change tasks. What they need is the same: callers
// who are signed in, the database, Dapr, and a planner. They differ in their routes.
package changes

import (
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/jobs"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/web"
)

// Config is the configuration of a function that changes tasks.
type Config struct {
	SignIn auth.Config
	Store  store.Config
	Dapr   jobs.Config
	Rules  schedule.Rules
}

// Parts are what such a function works with. They are safe for concurrent use.
type Parts struct {
	SignIn  *auth.Verifier
	Planner *schedule.Planner
}

// New makes a function with the routes that it returns for its parts. Nothing is connected
// before the first request.
func New(cfg Config, routes func(Parts) web.Routes) (*function.Function, error) {
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	dapr, err := jobs.Open(cfg.Dapr)
	if err != nil {
		return nil, err
	}
	parts := Parts{
		SignIn:  auth.NewVerifier(cfg.SignIn, api.SignInRecords(s)),
		Planner: schedule.NewPlanner(s, dapr, time.Now, cfg.Rules),
	}
	return &function.Function{
		Handler: web.NewMux(routes(parts)),
		Ready:   []function.Check{{Name: "database", Func: s.Ping}},
		Finish:  parts.Planner.Finish,
		Close:   func() { dapr.Close(); s.Close() },
	}, nil
}
