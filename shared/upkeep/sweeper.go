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

// Dapr is the part of Dapr that a sweep uses. Package jobs implements it.
type Dapr interface {
	schedule.Scheduler
	// Keep makes a job that never fires. One that exists stays as it is.
	Keep(ctx context.Context, name string) error
	// Holds reports whether a job exists.
	Holds(ctx context.Context, name string) (bool, error)
	// Publish publishes an event. The same event must have the same id each time.
	Publish(ctx context.Context, topic, id string, data any) error
}

// SweepRules are the rules for the sweep.
type SweepRules struct {
	Budget     time.Duration `env:"SWEEP_BUDGET" envDefault:"45s" help:"how long one sweep may take; less than the time between two"`
	Grace      time.Duration `env:"SWEEP_GRACE" envDefault:"5s" help:"how long an overdue reminder is left to its callback before the sweep fires it"`
	Horizon    task.Horizon
	Concurrent int `env:"SWEEP_CONCURRENCY" envDefault:"16" help:"how many overdue reminders the sweep fires at a time"`
	// Calls is the same as for an import.
	Calls int `env:"SWEEP_DAPR_CONCURRENCY" envDefault:"128" help:"how many calls to Dapr the sweep makes at a time, to schedule pending reminders and to delete leftover jobs; Dapr's scheduler needs less time for each if many come together"`
	// Verify has the keys for asking the owners of addresses.
	Verify verify.Keys
	// Suppression has the keys for finding addresses whose owners must not be asked.
	Suppression suppress.Keys
	// Ceiling is the ceiling of which a sweep warns.
	Ceiling quota.Ceiling
	// VerifyGrace is how long such addresses still get messages after their owners were asked.
	VerifyGrace time.Duration `env:"VERIFY_GRACE" envDefault:"336h" help:"how long addresses that were listed before verification was set up still get messages after their owners were asked; afterwards they are unverified"`
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

// Sweeper finds in Postgres what should have happened and has not, and does it. So Duebell's
// promises hold whatever fails in Dapr, in a function or at a provider. It is safe for concurrent
// use, also by several processes.
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

// NewSweeper returns a Sweeper. The caller closes s. wake asks the function send to begin, and
// returns when it has or when that takes too long. now is the clock, time.Now outside of tests.
func NewSweeper(s *store.Store, dapr Dapr, firer *fire.Firer, mover *schedule.Mover, wake func(context.Context) error, now func() time.Time, rules SweepRules) *Sweeper {
	return &Sweeper{store: s, dapr: dapr, jobs: schedule.NewJobs(s, dapr, now, rules.Calls), firer: firer, mover: mover, wake: wake, now: now, rules: rules, asker: verify.NewGraceAsker(rules.Verify, rules.Suppression)}
}

// Summary is the result of a sweep.
type Summary struct {
	// Fired counts overdue reminders by the result of firing them: a fire.Status, or "error".
	Fired map[string]int `json:"fired"`
	// Scheduled counts the pending reminders that were scheduled, and Pending those that are still
	// pending.
	Scheduled int `json:"scheduled"`
	Pending   int `json:"pending"`
	// Moved counts the reminders that were armed anew after their user's clock or the time zones
	// changed.
	Moved int `json:"moved"`
	// Sentinel is "present", "made" (by the first sweep of all), "lost" (the scheduler has lost its
	// data) or "unknown" (Dapr was not reached).
	Sentinel string `json:"sentinel"`
	// Unconfirmed counts the reminders that became pending because the scheduler had lost its data.
	Unconfirmed int `json:"unconfirmed"`
	// Alerts counts the dead letters of which operators were told, and FailedAlerts those for which
	// that failed.
	Alerts       int `json:"alerts"`
	FailedAlerts int `json:"failed_alerts"`
	// LeftoverJobs counts the leftover jobs that Dapr has deleted.
	LeftoverJobs int `json:"leftover_jobs"`
	// Asked counts the users for whose addresses in grace the owners were asked.
	Asked int `json:"asked"`
	// OldestWaitingSeconds is how long the oldest due item has waited, by what it waits for:
	// "firing", or a store.Lane.
	OldestWaitingSeconds map[string]float64 `json:"oldest_waiting_seconds"`
	// SMSCostToday is what text messages have cost since midnight in UTC, at the prices in
	// SMS_PRICES.
	SMSCostToday float64 `json:"sms_cost_today"`
	// Complete says that every step was completed.
	Complete bool         `json:"complete"`
	Steps    []StepReport `json:"steps"`
}

// Failed counts the steps that failed.
func (s Summary) Failed() int { return failed(s.Steps) }

// Away returns an unavailable fault if every step that needs the database failed before it did
// anything.
func (s Summary) Away() error {
	if !nothingDone(s.Steps[:len(s.Steps)-1]) { // the last step, waking the sender, does not need it
		return nil
	}
	return fault.Unavailable(errors.New(s.Steps[0].Error), "every step of the sweep has failed, as it does while the database is away; the log says why")
}

// page is how many rows a step reads at a time.
const page = 500

// Sweep runs one sweep. It wakes the sender, and meanwhile fires overdue reminders, checks the
// sentinel, moves reminders whose clock has changed, schedules pending ones, does the same for
// agendas, deletes leftover jobs, and alerts operators.
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
	if s.asker.Enabled() { // before the last two, which measure what the others have left
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

// wakeSender asks the function send to begin, if a delivery is due now or soon. Otherwise the
// function may stay at zero. Its start may take a while, so the other steps go on. A request that
// takes longer than the sweep continues after it.
func (s *Sweeper) wakeSender(ctx context.Context) (woken <-chan error) {
	answered := make(chan error, 1)
	go func() {
		ctx := context.WithoutCancel(ctx)
		due, err := s.store.AnyDueWithin(ctx, soon)
		if err == nil && !due {
			answered <- nil
			return
		}
		answered <- s.wake(ctx) // also if nobody waits for it any more
	}()
	return answered
}

// soon is how far ahead a delivery may be due for the sweep to wake the sender. It must be less
// than SEND_LINGER, for which the sender waits for more deliveries. Later deliveries are found by
// the next sweep, at most a minute late.
const soon = 10 * time.Second

// senderPatience is how long a sweep waits for the sender's answer in the end.
const senderPatience = 10 * time.Second

// heard waits until the sender has begun or refused.
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

// mostHeld is how many locked rows of one user a sweep waits for. After that it leaves the user's
// other reminders to the next sweep, so that those of other users fire.
const mostHeld = 3

// fireOverdue fires armed reminders whose callback has not come.
func (s *Sweeper) fireOverdue(ctx context.Context, counts map[string]int) (fired int, complete bool, err error) {
	var last store.Due
	var mu sync.Mutex
	held := map[string]int{} // how many of a user's rows were locked
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
				outcome := string(fire.Skipped) // a callback was first
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

// schedulePending schedules pending reminders: those whose call to Dapr failed, and those that have
// come within the horizon. If Dapr takes none of a page, it is away, and the rest is left for the
// next sweep.
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

// deleteLeftovers deletes a page of leftover jobs. What sweeps do not finish, the cleanup does.
func (s *Sweeper) deleteLeftovers(ctx context.Context, sum *Summary) (deleted int, complete bool, err error) {
	left, err := s.store.Leftovers(ctx, page)
	if err != nil {
		return 0, false, err
	}
	gone, err := s.jobs.Delete(ctx, left)
	sum.LeftoverJobs = len(gone.Jobs)
	drop, cancel := context.WithTimeout(context.WithoutCancel(ctx), schedule.CallTimeout) // also when the step's time is over
	defer cancel()
	return len(gone.Jobs), true, errors.Join(err, s.store.DropLeftovers(drop, gone))
}

// costAlert is the part of the ceiling at which the operators are warned. The alert in
// manifests/monitoring has the same value.
const costAlert = 0.8

// lookWhatWaits measures how long the oldest due items have waited, counts dead letters and
// deliveries that quiet hours hold, and adds up today's cost of text messages.
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
