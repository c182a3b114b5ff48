package life_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// carriers are providers of e-mail that keep the order in which they were asked.
type carriers struct {
	mu     sync.Mutex
	asked  []string
	answer map[string]error // by provider; none: it takes everything
}

func (c *carriers) channels(names ...string) deliver.Channels {
	channels := deliver.Channels{}
	for _, name := range names {
		channels[task.Email] = append(channels[task.Email], deliver.Provider{Name: name, Channel: carrier{name, c}})
	}
	return channels
}

type carrier struct {
	name string
	all  *carriers
}

func (c carrier) Send(context.Context, notify.Message) error {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.all.asked = append(c.all.asked, c.name)
	return c.all.answer[c.name]
}

var (
	notNow   = &notify.Error{Kind: notify.Retry, Err: errDown}
	noAnswer = &notify.Error{Kind: notify.Unknown, Err: errDown}
)

// due makes what waits due now.
func (w *world) due() {
	w.Helper()
	w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
}

// mailed says what has become of the one e-mail: its provider, state, and how many
// attempts in how many rounds it took.
func (w *world) mailed() string {
	w.Helper()
	return strings.Join(w.column(`select format('%s %s %s/%s', provider, state, attempts, round) from deliveries where channel = 'email'`), "; ")
}

// onlyMail creates a task that is told by e-mail alone, now.
func (w *world) onlyMail() task.Task {
	w.Helper()
	return w.create(task.Draft{DueDate: in(0), Channels: []task.Channel{task.Email}})
}

func TestFailover(t *testing.T) {
	type step struct {
		set  []string // the providers that are set up
		a, b error
		want string // who was asked in this step
		then string // what the delivery came to
	}
	both := []string{"a", "b"}
	tests := map[string][]step{
		"refused by one, the next at once": {{both, notNow, nil, "a b", "b sent 2/1"}},
		"refused for good: nobody else":    {{both, &notify.Error{Kind: notify.Permanent, Err: errDown}, nil, "a", "a failed 1/1"}},
		"no answer: nobody else": {
			{both, noAnswer, nil, "a", "a unknown 1/1"},
			{both, notNow, nil, "a", "a planned 2/2"}, // the first attempt may have been taken
			{both, nil, nil, "a", "a sent 3/3"},
		},
		"no answer from the second: never the first": {
			{both, notNow, noAnswer, "a b", "b unknown 2/1"},
			{both, nil, notNow, "b", "b planned 3/2"},
			{both, nil, nil, "b", "b sent 4/3"},
		},
		"all refuse: a pause, then from the first": {
			{both, notNow, notNow, "a b", "b planned 2/1"},
			{both, nil, nil, "a", "a sent 3/2"},
		},
		"all refuse for ever": {
			{both, notNow, notNow, "a b", "b planned 2/1"},
			{both, notNow, notNow, "a b", "b planned 4/2"},
			{both, notNow, notNow, "a b", "b exhausted 6/3"}, // three rounds, as for one provider
			{both, nil, nil, "", "b exhausted 6/3"},
		},
		"no answer for ever": {
			{both, noAnswer, nil, "a", "a unknown 1/1"},
			{both, noAnswer, nil, "a", "a unknown 2/2"},
			{both, noAnswer, nil, "a", "a exhausted 3/3"},
		},
		"in the order that is set up": {{[]string{"b", "a"}, nil, notNow, "b a", "a sent 2/1"}},
		"the one that has refused is not set up any more": {
			{[]string{"a"}, notNow, nil, "a", "a planned 1/1"},
			{[]string{"b"}, nil, nil, "b", "b sent 2/2"},
		},
		"another one has been set up": {
			{[]string{"a"}, notNow, nil, "a", "a planned 1/1"},
			{both, notNow, nil, "a b", "b sent 3/2"},
		},
		"two functions that don't agree on the order": {
			{both, notNow, notNow, "a b", "b planned 2/1"},
			{[]string{"b", "a"}, notNow, notNow, "b a", "a planned 4/2"},
			{both, notNow, notNow, "a b", "b exhausted 6/3"},
		},
		"the one that gave no answer is not set up any more": {
			{both, noAnswer, nil, "a", "a unknown 1/1"},
			{[]string{"b"}, nil, nil, "", "a planned 2/2"},
			{both, nil, nil, "a", "a sent 3/3"},
		},
		"none is set up any more": {
			{both, notNow, notNow, "a b", "b planned 2/1"},
			{nil, nil, nil, "", " planned 3/2"},
			{both, nil, nil, "a", "a sent 4/3"},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atNoon)
			created := w.onlyMail()
			for i, s := range steps {
				by := &carriers{answer: map[string]error{"a": s.a, "b": s.b}}
				w.firer = newTeller(w.store, by.channels(s.set...), w.clock, settings)
				if _, err := w.firer.Fire(t.Context(), wake(created)); err != nil && fault.CodeOf(err) != fault.CodeUnavailable {
					t.Fatal(err)
				}
				if got := strings.Join(by.asked, " "); got != s.want {
					t.Errorf("step %d: asked %q, want %q", i, got, s.want)
				}
				if got := w.mailed(); got != s.then {
					t.Errorf("step %d: came to %q, want %q", i, got, s.then)
				}
				w.due()
			}
		})
	}
}

// planned is a task whose e-mail is planned and not sent.
func (w *world) planned() (task.Task, uuid.UUID) {
	w.Helper()
	w.exec(`create function hold_back() returns trigger as 'begin new.next_attempt_at = now() + interval ''1 hour''; return new; end' language plpgsql;
		create trigger hold_back before insert on deliveries for each row execute function hold_back()`)
	created := w.onlyMail()
	w.fire(wake(created))
	return created, uuid.MustParse(w.column(`select id::text from deliveries`)[0])
}

// Two functions with the providers in different orders, taking turns, come to an end
// all the same: there is no round without one.
func TestRoundsEnd(t *testing.T) {
	w := newWorld(t, atNoon)
	_, id := w.planned()
	for i := range 12 {
		w.due()
		l, err := w.lease(id, time.Minute, map[task.Channel][]string{task.Email: {[]string{"a", "b"}[i%2], []string{"b", "a"}[i%2]}})
		if err != nil || l == nil || l.Round < i/2 {
			t.Fatalf("attempt %d: %+v, %v", i, l, err)
		}
		if err := w.store.Finish(t.Context(), store.Alone, store.Ending{Of: l, State: store.Planned}); err != nil {
			t.Fatal(err)
		}
	}
}

// The sender dies at any of the moments: what it left says who may be asked next.
func TestSenderDiesDuringFailover(t *testing.T) {
	names := map[task.Channel][]string{task.Email: {"a", "b"}}
	tests := map[string]struct {
		outcomes []error // of the attempts before it dies; the last is under way then
		want     string  // who is asked from then on, if each refuses
	}{
		"at the first, in mid-send":      {[]error{nil}, "a a"},
		"between the first and the next": {[]error{notNow}, "b a b"},
		"at the second, in mid-send":     {[]error{notNow, nil}, "b b"},
		"after the round":                {[]error{notNow, notNow}, "a b a b"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, atNoon)
			created, id := w.planned()
			for _, err := range tt.outcomes {
				w.due()
				l, leaseErr := w.lease(id, time.Minute, names)
				if leaseErr != nil || l == nil {
					t.Fatal(l, leaseErr)
				}
				if err != nil {
					if err := w.store.Finish(t.Context(), store.Alone, store.Ending{Of: l, State: store.Planned, Error: err.Error()}); err != nil {
						t.Fatal(err)
					}
				}
			}
			by := &carriers{answer: map[string]error{"a": notNow, "b": notNow}}
			w.firer = newTeller(w.store, by.channels("a", "b"), w.clock, settings)
			if slices.Contains(tt.outcomes, nil) {
				if o := w.fire(wake(created)); o.Status != fire.InProgress || len(by.asked) > 0 {
					t.Errorf("while the lease holds: %+v, asked %v", o, by.asked)
				}
			}
			for range 2 {
				w.due()
				_, _ = w.firer.Fire(t.Context(), wake(created))
			}
			if got := strings.Join(by.asked, " "); got != tt.want {
				t.Errorf("asked %q, want %q", got, tt.want)
			}
		})
	}
}

// Two providers' wishes to be left alone: the next round begins when the first of
// them may be ready.
func TestWaitsOfARound(t *testing.T) {
	after := func(d time.Duration) error { return &notify.Error{Kind: notify.Retry, After: d, Err: errDown} }
	for name, tt := range map[string]struct {
		a, b        error
		least, most time.Duration
	}{
		"the first asks for less":  {after(time.Minute), after(time.Hour), time.Minute, time.Minute},
		"the second asks for less": {after(time.Hour), after(time.Minute), time.Minute, time.Minute},
		"one asks for nothing":     {after(time.Hour), notNow, 750 * time.Millisecond, time.Second},
	} {
		w := newWorld(t, atNoon)
		by := &carriers{answer: map[string]error{"a": tt.a, "b": tt.b}}
		w.firer = newTeller(w.store, by.channels("a", "b"), w.clock, settings)
		_, _ = w.firer.Fire(t.Context(), wake(w.onlyMail()))
		wait := w.column(`select extract(epoch from next_attempt_at - (select max(updated_at) from dead_letters))::text from deliveries`)[0]
		got, err := time.ParseDuration(wait + "s")
		if err != nil || got < tt.least || got > tt.most {
			t.Errorf("%s: waits %v, %v, want between %v and %v", name, got, err, tt.least, tt.most)
		}
	}
}

// An operator's replay goes to nobody else either, unless it is forced.
func TestReplayAfterFailover(t *testing.T) {
	for _, force := range []bool{false, true} {
		w := newWorld(t, atNoon)
		created := w.onlyMail()
		by := &carriers{answer: map[string]error{"a": notNow, "b": noAnswer}}
		w.firer = newTeller(w.store, by.channels("a", "b"), w.clock, settings)
		for range settings.MaxAttempts {
			_, _ = w.firer.Fire(t.Context(), wake(created))
			w.due()
		}
		if got := w.mailed(); got != "b exhausted 4/3" {
			t.Fatal(got)
		}
		id := uuid.MustParse(w.column(`select id::text from dead_letters`)[0])
		if _, err := w.store.ReplayDeadLetter(t.Context(), id, force); err != nil {
			t.Fatal(err)
		}
		by.answer = nil
		w.fire(wake(created))
		if got, want := w.mailed(), map[bool]string{false: "b sent 1/1", true: "a sent 1/1"}[force]; got != want {
			t.Errorf("forced %v: %s, want %s", force, got, want)
		}
	}
}

// Whatever the providers answer and whoever dies when: no two providers have taken
// the same delivery, and while one can take it, it comes.
func TestNoTwoProvidersTakeADelivery(t *testing.T) {
	w := newWorld(t, atNoon)
	all := []string{"a", "b", "c"}
	rapid.Check(t, func(t *rapid.T) {
		w.exec(`delete from dead_letters; delete from deliveries; delete from reminders; delete from tasks`)
		created := w.onlyMail()
		rules := settings
		rules.MaxAttempts = 100
		took := map[string]bool{} // as the providers know it
		outcomes := rapid.SliceOfN(rapid.SampledFrom([]string{"refused", "no answer", "no answer, taken", "death", "death, taken", "sent, taken"}), 1, 12).Draw(t, "outcomes")
		by := &scripted{}
		by.send = func(provider string) error {
			if len(outcomes) == 0 {
				return notNow
			}
			outcome := outcomes[0]
			outcomes = outcomes[1:]
			if strings.HasSuffix(outcome, ", taken") {
				took[provider] = true
			}
			switch {
			case strings.HasPrefix(outcome, "sent"):
				return nil
			case outcome == "refused":
				return notNow
			case strings.HasPrefix(outcome, "death"):
				runtime.Goexit() // nothing is recorded
			}
			return noAnswer
		}
		for i := range rapid.IntRange(1, 8).Draw(t, "callbacks") {
			least := map[bool]int{true: 1}[i == 0] // none at all when it fires would be another story
			set := rapid.Permutation(all).Draw(t, "set up")[:rapid.IntRange(least, 3).Draw(t, "so many")]
			_, _ = newTeller(w.store, by.channels(set), w.clock, rules).Fire(context.Background(), wake(created))
			w.due()
			if len(took) > 1 {
				t.Fatalf("taken by %v", took)
			}
		}
		by.send = func(provider string) error { took[provider] = true; return nil }
		for range 2 {
			_, _ = newTeller(w.store, by.channels(all), w.clock, rules).Fire(context.Background(), wake(created))
			w.due()
		}
		if len(took) != 1 || !strings.Contains(w.mailed(), " sent ") {
			t.Fatalf("in the end taken by %v: %s", took, w.mailed())
		}
	})
}

type scripted struct{ send func(provider string) error }

func (s *scripted) channels(names []string) deliver.Channels {
	channels := deliver.Channels{}
	for _, name := range names {
		channels[task.Email] = append(channels[task.Email], deliver.Provider{Name: name, Channel: sendFunc(func() error { return s.send(name) })})
	}
	return channels
}

type sendFunc func() error

func (f sendFunc) Send(context.Context, notify.Message) error { return f() }
