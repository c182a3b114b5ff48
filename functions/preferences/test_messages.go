package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/trace"
	"github.com/duebell/duebell/shared/web"
)

const (
	// testsInHour is how many test messages a user may have sent in an hour. The limits on messages
	// hold as well.
	testsInHour = 20
	// testPatience is how long the answer waits for their results.
	testPatience = 15 * time.Second
)

// result is the result of one test message.
type result struct {
	Target string              `json:"target"`
	State  store.DeliveryState `json:"state"`
	Error  string              `json:"error,omitzero"`
	id     uuid.UUID
}

// test sends a test message to each of the user's targets on a channel, and answers with the
// results. It sends nothing to addresses that are not verified or are suppressed. A message without
// a result when the answer is due is still sent.
func (h handler) test(w http.ResponseWriter, r *http.Request) error {
	user, err := h.signIn.User(r)
	if err != nil {
		return err
	}
	var in struct {
		Channel task.Channel `json:"channel"`
	}
	if err := web.ReadJSON(w, r, &in); err != nil {
		return err
	}
	if !slices.Contains(task.Channels, in.Channel) {
		return fault.Invalid("channel must be one of %v", task.Channels)
	}
	owner := api.Owner(user)
	if err := h.store.SaveUser(r.Context(), owner); err != nil {
		return err
	}
	var results []result
	err = h.store.InTx(r.Context(), func(ctx context.Context, tx store.Tx) (err error) {
		p, signIn, err := tx.LockPreferences(ctx, owner.ID)
		if err != nil {
			return err
		}
		if results, err = h.targets(ctx, tx, in.Channel, p, signIn); err != nil {
			return err
		}
		return planTests(ctx, tx, owner.ID, in.Channel, p, results)
	})
	if err != nil {
		return err
	}
	if in.Channel == task.InApp {
		if err := h.store.Hint(r.Context(), []string{owner.ID}); err != nil {
			slog.DebugContext(r.Context(), "an inbox is told late", "error", err)
		}
	} else {
		h.wake()
		h.awaitTests(r.Context(), results)
	}
	return web.WriteJSON(w, http.StatusOK, struct {
		Deliveries []result `json:"deliveries"`
	}{results})
}

// targets returns the user's targets on a channel. Those to which nothing may be sent have a state
// already.
func (h handler) targets(ctx context.Context, tx store.Tx, c task.Channel, p preferences.Preferences, signIn *string) (results []result, err error) {
	targets := p.Targets(c, signIn)
	switch {
	case c == task.InApp:
		targets = []string{""}
	case len(targets) > 0:
	case c == task.Email && p.Unsubscribed:
		return nil, fault.Conflict("you have unsubscribed from e-mail: switch it on again in your preferences before you try it")
	case c == task.Webhook && p.Webhook != nil:
		return nil, fault.Conflict("your webhook has answered that it is gone: switch it on again in your preferences before you try it")
	default:
		return nil, fault.Conflict("there is nobody to send to: your preferences name no %s",
			map[task.Channel]string{task.Email: "e-mail address", task.SMS: "phone number", task.Push: "device", task.Webhook: "webhook"}[c])
	}
	hashes := make([]suppress.Address, len(targets))
	for i, target := range targets {
		hashes[i] = h.list.Hashes(c, target)
	}
	found, err := tx.Suppressed(ctx, hashes)
	if err != nil {
		return nil, err
	}
	for i, target := range targets {
		t := result{Target: target, State: store.Planned, id: uuid.Must(uuid.NewV7())}
		if since := found.Since(hashes[i]); since != nil {
			t.State, t.Error = store.SuppressedState, store.SuppressedProblem(*since)
		} else if suppress.Applies(c) && !p.MayReceive(target, signIn) {
			t.State, t.Error = store.Unverified, preferences.UnverifiedProblem
		}
		results = append(results, t)
	}
	return results, nil
}

// planTests plans the messages that may be sent, and writes the in-app one.
func planTests(ctx context.Context, tx store.Tx, userID string, c task.Channel, p preferences.Preferences, results []result) error {
	var messages []store.TestMessage
	for _, t := range results {
		if t.State == store.Planned {
			messages = append(messages, store.TestMessage{ID: t.id, UserID: userID, Channel: c, Target: t.Target, Trace: trace.Parent(ctx)})
		}
	}
	wait, err := tx.PlanTests(ctx, messages, testsInHour)
	if err == nil && wait > 0 {
		return &fault.Error{
			Code: fault.CodeRateLimited, RetryAfter: max(wait, time.Second),
			Message: fmt.Sprintf("you may have %d test messages sent in an hour, and there is no room for %d more: try again when Retry-After says so", testsInHour, len(messages)),
		}
	}
	if err != nil || c != task.InApp {
		return err
	}
	m := notify.Message{Language: p.Language}.AsTest()
	results[0].State = store.Sent
	return tx.Notify(ctx, store.Notification{ID: results[0].id, UserID: userID, Title: m.Title, Body: m.Notes})
}

// awaitTests waits for the results of planned messages, up to testPatience.
func (h handler) awaitTests(ctx context.Context, results []result) {
	var ids []uuid.UUID
	for _, t := range results {
		if t.State == store.Planned {
			ids = append(ids, t.id)
		}
	}
	if len(ids) == 0 {
		return
	}
	for end := time.Now().Add(testPatience); ctx.Err() == nil; {
		all, err := h.store.GetDeliveries(ctx, ids)
		open := err != nil
		if err != nil {
			slog.WarnContext(ctx, "what became of test messages could not be read", "error", err)
		}
		for _, d := range all {
			t := &results[slices.IndexFunc(results, func(t result) bool { return t.id == d.ID })]
			t.State, t.Error = d.State, d.LastError
			open = open || d.Open()
		}
		if !open || time.Now().After(end) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for i := range results {
		if t := &results[i]; t.State == store.Planned || t.State == store.Sending {
			t.Error = cmp.Or(t.Error, "its provider has not answered yet")
		}
	}
}
