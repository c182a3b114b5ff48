package upkeep

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/verify"
)

// Dapr is what a sweep needs of Dapr. Package jobs has the real one.
type Dapr interface {
	schedule.Scheduler
	// Keep has a job be there for ever, under a name. One that is there already is
	// left as it is.
	Keep(ctx context.Context, name string) error
	// Holds reports whether a job of the name is there.
	Holds(ctx context.Context, name string) (bool, error)
	// Publish publishes an event. id is the event's: the same for the same event.
	Publish(ctx context.Context, topic, id string, data any) error
}

// SweepRules are the rules for the sweep.
type SweepRules struct {
	Budget     time.Duration `env:"SWEEP_BUDGET" envDefault:"45s" help:"how long one pass of the sweep may take; less than the time between two"`
	Grace      time.Duration `env:"SWEEP_GRACE" envDefault:"5s" help:"how long an overdue reminder is left to its callback before the sweep fires it"`
	Horizon    task.Horizon
	Concurrent int `env:"SWEEP_CONCURRENCY" envDefault:"16" help:"how many overdue reminders the sweep fires at a time"`
	// Calls is as many as an import makes.
	Calls int `env:"SWEEP_DAPR_CONCURRENCY" envDefault:"128" help:"how many calls to Dapr the sweep makes at a time, to schedule what is pending or has come within REMINDER_HORIZON, and to delete leftover jobs; the more come together, the less each costs Dapr's scheduler"`
	// Verify is what owners of addresses are asked by that were there before anybody asked.
	Verify verify.Keys
	// Suppression is what stands for those who are not to be asked.
	Suppression suppress.Keys
	// Ceiling is what the sweep warns of.
	Ceiling quota.Ceiling
	// VerifyGrace is for how long these are written to after that.
	VerifyGrace time.Duration `env:"VERIFY_GRACE" envDefault:"336h" help:"for how long addresses that were there before verification was set up are still written to once their owners were asked; afterwards they are unverified"`
}

// Validate reports what is wrong with the configuration.
func (r SweepRules) Validate() error {
	var problems []error
	if r.Budget < time.Second {
		problems = append(problems, errors.New("SWEEP_BUDGET must be at least 1s"))
	}
	if r.Grace < 0 {
		problems = append(problems, errors.New("SWEEP_GRACE must not be negative"))
	}
	if r.Concurrent < 1 || r.Concurrent > 1000 {
		problems = append(problems, errors.New("SWEEP_CONCURRENCY must be between 1 and 1000"))
	}
	if r.Calls < 1 || r.Calls > 1000 {
		problems = append(problems, errors.New("SWEEP_DAPR_CONCURRENCY must be between 1 and 1000"))
	}
	if r.VerifyGrace < 0 {
		problems = append(problems, errors.New("VERIFY_GRACE must not be negative"))
	}
	return errors.Join(problems...)
}

// Sweeper is what makes the promises hold whatever happens to Dapr, to the functions and
// to the providers: it finds in Postgres what should have happened and has not, and does
// it, or has it done. Any number of sweeps may run at one time.
type Sweeper struct {
	store *store.Store
	dapr  Dapr
	jobs  schedule.Jobs
	firer *fire.Firer
	mover *schedule.Mover
	wake  func(context.Context) error
	now   func() time.Time
	rules SweepRules
	asker verify.Asker
}

// NewSweeper makes a Sweeper from its parts, which its caller closes. wake has the sender
// look for what is due, returns once it does, and gives up by itself. now is the Sweeper's clock, time.Now
// outside of tests.
func NewSweeper(s *store.Store, dapr Dapr, firer *fire.Firer, mover *schedule.Mover, wake func(context.Context) error, now func() time.Time, rules SweepRules) *Sweeper {
	return &Sweeper{store: s, dapr: dapr, jobs: schedule.NewJobs(s, dapr, now, rules.Calls), firer: firer, mover: mover, wake: wake, now: now, rules: rules, asker: verify.NewGraceAsker(rules.Verify, rules.Suppression)}
}

// Summary is what a sweep has done.
type Summary struct {
	// Fired are reminders that were overdue, by how that ended: a fire.Status, or "error".
	Fired map[string]int `json:"fired"`
	// Scheduled and Pending are reminders that Dapr had not taken: now it has, or
	// still not.
	Scheduled int `json:"scheduled"`
	Pending   int `json:"pending"`
	// Moved are reminders that were armed anew because their user's clock, or the time zones, have changed.
	Moved int `json:"moved"`
	// Sentinel is "present", "made" (the first sweep of all), "lost" (the scheduler
	// has lost its data), or "unknown" (it could not be asked).
	Sentinel string `json:"sentinel"`
	// Unconfirmed is how many reminders are scheduled again because the scheduler has lost
	// its data.
	Unconfirmed int `json:"unconfirmed"`
	// Alerts are dead letters that the operators were told of, and those they could
	// not be.
	Alerts       int `json:"alerts"`
	FailedAlerts int `json:"failed_alerts"`
	// LeftoverJobs are those that Dapr has deleted.
	LeftoverJobs int `json:"leftover_jobs"`
	// Asked are users whose addresses were there before owners were asked: now theirs were.
	Asked int `json:"asked"`
	// OldestWaitingSeconds is for how long the oldest of what is still to be done has been
	// due, by what it waits for: "firing", or a store.Lane.
	OldestWaitingSeconds map[string]float64 `json:"oldest_waiting_seconds"`
	// SMSCostToday is what text messages have cost since midnight in UTC, by SMS_PRICES.
	SMSCostToday float64 `json:"sms_cost_today"`
	// Complete is true if every step was completed.
	Complete bool         `json:"complete"`
	Steps    []StepReport `json:"steps"`
}

// Failed counts the steps that went wrong.
func (s Summary) Failed() int { return failed(s.Steps) }

// Away returns an unavailable fault if every step that needs the database has failed, so
// that nothing was done.
func (s Summary) Away() error {
	if !nothingDone(s.Steps[:len(s.Steps)-1]) { // the last, waking the sender, needs none
		return nil
	}
	return fault.Unavailable(errors.New(s.Steps[0].Error), "every step of the sweep has failed, as it does while the database is away; the log says why")
}

// page is how many rows a step reads at a time.
const page = 500

// Sweep makes one pass: it has the sender look for what is due, and meanwhile fires what is overdue,
// looks whether the scheduler has lost its data, moves what has to follow another clock, schedules what is pending, deletes
// leftover jobs, and tells operators of dead letters.
func (s *Sweeper) Sweep(ctx context.Context) Summary {
	began := time.Now()
	sum := Summary{Fired: map[string]int{}, Sentinel: "unknown"}
	woken := s.wakeSender(ctx)
	steps := []step{
		{"fire_overdue", "overdue reminders: fired", 6, func(ctx context.Context) (int, bool, error) { return s.fireOverdue(ctx, sum.Fired) }},
		{"check_sentinel", "reminders whose jobs the scheduler has lost: made pending", 3, func(ctx context.Context) (int, bool, error) {
			err := s.checkSentinel(ctx, &sum)
			return sum.Unconfirmed, true, err
		}},
		{"follow_clocks", "reminders whose user's clock or time zones have changed: moved", 3, func(ctx context.Context) (int, bool, error) { return s.followClocks(ctx, &sum) }},
		{"schedule_pending", "pending reminders: scheduled", 6, func(ctx context.Context) (int, bool, error) { return s.schedulePending(ctx, &sum) }},
		{"agendas", "agendas that were overdue: fired", 3, s.agendas},
		{"delete_leftovers", "jobs that a change has left over: deleted", 1, func(ctx context.Context) (int, bool, error) { return s.deleteLeftovers(ctx, &sum) }},
		{"tell_of_dead_letters", "dead letters: operators were told", 1, func(ctx context.Context) (int, bool, error) { return s.alert(ctx, &sum) }},
		{"look_what_waits", "counted", 1, func(ctx context.Context) (int, bool, error) { return 0, true, s.lookWhatWaits(ctx, &sum) }},
		{"wake_sender", "asked to send what is due", 1, func(ctx context.Context) (int, bool, error) { return 0, true, heard(ctx, woken) }},
	}
	if s.asker.Enabled() { // before the last two, which look at what the others have left
		steps = slices.Insert(steps, len(steps)-2, step{
			"verify_addresses", "users whose addresses were there before owners were asked: asked, or their grace ended", 1,
			func(ctx context.Context) (int, bool, error) { return s.verifyAddresses(ctx, &sum) },
		})
	}
	sum.Steps, sum.Complete = runSteps(ctx, "sweep", s.rules.Budget, steps)
	result := metrics.Complete
	switch {
	case sum.Failed() > 0:
		result = metrics.Failed
	case !sum.Complete:
		result = metrics.CutShort
	}
	metrics.Swept(result, time.Since(began))
	for outcome, n := range sum.Fired {
		metrics.SweepOutcome(metrics.WorkFire, outcome, n)
	}
	metrics.SweepOutcome(metrics.WorkSchedule, "scheduled", sum.Scheduled)
	metrics.SweepOutcome(metrics.WorkSchedule, "pending", sum.Pending)
	metrics.SweepOutcome(metrics.WorkMove, "moved", sum.Moved)
	return sum
}

// wakeSender asks the sender to begin, if anything is due or soon will be: else it may stay
// at zero. It may have to start from there, so the other steps go on meanwhile. A sender that
// takes longer than the sweep is still asked after it.
func (s *Sweeper) wakeSender(ctx context.Context) (woken <-chan error) {
	answered := make(chan error, 1)
	go func() {
		ctx := context.WithoutCancel(ctx)
		due, err := s.store.AnyDueWithin(ctx, soon)
		if err == nil && !due {
			answered <- nil
			return
		}
		answered <- s.wake(ctx) // also if that is not known
	}()
	return answered
}

// soon is how far ahead a delivery may be due for the sweep to wake the sender: less than
// the sender waits for it (SEND_LINGER). The next sweep comes before what is due later is
// a minute late.
const soon = 10 * time.Second

// senderPatience is how long a sweep waits, at its end, to hear from the sender.
const senderPatience = 10 * time.Second

// heard waits until the sender has begun, or has refused.
func heard(ctx context.Context, woken <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, senderPatience, errSlowSender)
	defer cancel()
	select {
	case err := <-woken:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errSlowSender = errors.New("the sender has not answered yet; it goes on being asked")

// mostHeld is for how many of a user's rows that somebody holds a sweep waits. After that it
// leaves the user's reminders to the next one, so that the others have their turn.
const mostHeld = 3

// fireOverdue fires armed reminders whose callback has not come.
func (s *Sweeper) fireOverdue(ctx context.Context, counts map[string]int) (fired int, complete bool, err error) {
	var last store.Due
	var mu sync.Mutex
	held := map[string]int{} // rows of a user that somebody holds
	for ctx.Err() == nil {
		overdue, err := s.store.Overdue(ctx, s.rules.Grace, last, page)
		if err != nil || len(overdue) == 0 {
			return counts[string(fire.Success)], counts["error"] == 0, err
		}
		var group errgroup.Group
		group.SetLimit(s.rules.Concurrent)
		for _, d := range overdue {
			if ctx.Err() != nil {
				break
			}
			mu.Lock()
			left := held[d.UserID] >= mostHeld
			if left {
				counts["error"]++
			}
			mu.Unlock()
			if left {
				continue
			}
			group.Go(func() error {
				fired, err := s.firer.FireOverdue(ctx, d.Revision)
				outcome := string(fire.Skipped) // somebody was faster
				switch {
				case err != nil:
					slog.WarnContext(ctx, "an overdue reminder is left for the next sweep", "reminder_id", d.ReminderID, "error", err)
					outcome = "error"
				case fired:
					outcome = string(fire.Success)
				}
				mu.Lock()
				defer mu.Unlock()
				if store.IsHeld(err) {
					held[d.UserID]++
				}
				counts[outcome]++
				return nil
			})
		}
		_ = group.Wait()
		last = overdue[len(overdue)-1]
	}
	return counts[string(fire.Success)], false, ctx.Err()
}

// schedulePending schedules what Dapr is not known to hold a job for: calls that failed,
// and reminders that have come within the horizon. When Dapr takes none of a page it is
// away: the rest is left for the next sweep.
func (s *Sweeper) schedulePending(ctx context.Context, sum *Summary) (scheduled int, complete bool, err error) {
	for ctx.Err() == nil {
		claimed, n, err := s.jobs.SchedulePending(ctx, s.rules.Horizon.Until(s.now()))
		sum.Scheduled += n
		sum.Pending += claimed - n
		switch {
		case err != nil, claimed == 0:
			return sum.Scheduled, sum.Pending == 0, err
		case n == 0:
			return sum.Scheduled, false, fmt.Errorf("Dapr has taken none of %d jobs", claimed) //nolint:staticcheck // its name
		}
	}
	return sum.Scheduled, false, ctx.Err()
}

// deleteLeftovers deletes a page of jobs that mean nothing any more. What the sweeps
// don't get to is left for the nightly cleanup.
func (s *Sweeper) deleteLeftovers(ctx context.Context, sum *Summary) (deleted int, complete bool, err error) {
	left, err := s.store.Leftovers(ctx, page)
	if err != nil {
		return 0, false, err
	}
	gone, err := s.jobs.Delete(ctx, left)
	sum.LeftoverJobs = len(gone.Jobs)
	drop, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.CallTimeout) // also when the step's time is up
	defer cancel()
	return len(gone.Jobs), true, errors.Join(err, s.store.DropLeftovers(drop, gone))
}

// costAlert is at which part of the ceiling the operators are to know. The alert in
// manifests/monitoring has the same.
const costAlert = 0.8

// lookWhatWaits measures for how long the oldest of what is to be done has waited, counts the
// dead letters and what quiet hours hold, and looks what text messages have cost today.
func (s *Sweeper) lookWhatWaits(ctx context.Context, sum *Summary) error {
	waiting, err := s.store.Waiting(ctx)
	if err != nil {
		return err
	}
	sum.OldestWaitingSeconds = map[string]float64{}
	for of, d := range waiting {
		sum.OldestWaitingSeconds[of] = d.Seconds()
	}
	metrics.SetOldestWaiting(waiting)
	counts, err := s.store.CountDeadLetters(ctx)
	if err != nil {
		return err
	}
	metrics.SetDeadLetters(counts)
	held, err := s.store.HeldByQuietHours(ctx)
	if err != nil {
		return err
	}
	metrics.SetHeld(held)
	spent, err := s.store.Spent(ctx)
	if err != nil {
		return err
	}
	ceiling := s.rules.Ceiling.Daily
	sum.SMSCostToday = spent.Float()
	metrics.SetSMSCost(spent.Float(), ceiling.Float())
	if ceiling > 0 && spent.Float() >= costAlert*ceiling.Float() {
		slog.WarnContext(ctx, "text messages have nearly cost what they may today: beyond that they are refused", "spent", spent.String(), "SMS_DAILY_COST", ceiling.String())
	}
	return nil
}
