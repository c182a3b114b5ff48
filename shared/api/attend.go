package api

import (
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
	"github.com/duebell/duebell/shared/web"
)

// Repeat is how reminders are repeated until they are acknowledged.
type Repeat struct {
	Every string `json:"every"`
	Times int    `json:"times"`
}

// repeatInput is a Repeat going in.
type repeatInput struct {
	Every *string `json:"every"`
	Times *int    `json:"times"`
}

// rule is the repeat as the rules know it. They check it further.
func (r repeatInput) rule() (*task.Repeat, error) {
	if r.Every == nil || r.Times == nil {
		return nil, fault.Invalid(`repeat needs "every" and "times", such as {"every": "10m", "times": 3}; null means that nothing is repeated`)
	}
	every, err := parseEvery(*r.Every)
	if err != nil {
		return nil, fault.Invalid("repeat: every %s", message(err))
	}
	return &task.Repeat{Every: every, Times: *r.Times}, nil
}

func parseEvery(text string) (time.Duration, error) {
	every, err := time.ParseDuration(text)
	if err != nil {
		return 0, fault.Invalid("must be between 1m and 24h, such as \"10m\", not %.40q", text)
	}
	return every, nil
}

// SnoozeInput is a snooze going in.
type SnoozeInput struct {
	For        *string `json:"for"`
	Until      *string `json:"until"`
	UntilLocal *string `json:"until_local"`
}

// Snooze is the snooze as the rules know it.
func (in SnoozeInput) Snooze() (s task.Snooze, err error) {
	given := 0
	read := func(name string, text *string, parse func(string) error) {
		if text == nil {
			return
		}
		given++
		if parseErr := parse(*text); parseErr != nil && err == nil {
			err = fault.Invalid("%s %s", name, message(parseErr))
		}
	}
	read("for", in.For, func(text string) (err error) {
		if s.For, err = wallclock.ParseOffset(text); err != nil {
			err = fault.Invalid("must be how long from now, such as \"10m\", \"1h30m\" or \"1d\" (the same time of day), within 366 days; not %.40q", text)
		}
		return err
	})
	read("until", in.Until, func(text string) error {
		until, err := web.ParseTime(text)
		s.Until = &until
		return err
	})
	read("until_local", in.UntilLocal, func(text string) error {
		local, err := wallclock.Parse(text)
		s.UntilLocal = &local
		return err
	})
	if given != 1 {
		return s, fault.Invalid(`a snooze needs one of "for" (how long, such as "10m"), "until" (an instant) and "until_local" (a local time where you are), not %d`, given)
	}
	return s, err
}
