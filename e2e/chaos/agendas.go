package main

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/preferences"
)

// The users from firstAgenda on have one overdue task each, and an agenda by e-mail at a full
// minute of the run. So each has to get exactly one message, whatever breaks.
const (
	firstAgenda = hog + 1
	agendaUsers = 20
)

// agendaTask returns the title of the task of a user with an agenda.
func agendaTask(user int) string { return fmt.Sprintf("the agenda of number %d", user) }

var agendaTitle = regexp.MustCompile(`the agenda of number ([0-9]+)`)

// ofAgenda returns the user whose agenda a message is. ok is false if it is no agenda.
func ofAgenda(m sandbox.Message) (user int, ok bool) {
	found := agendaTitle.FindStringSubmatch(m.Subject)
	if found == nil {
		return 0, false
	}
	user, err := strconv.Atoi(found[1])
	return user, err == nil
}

// agendaMinutes returns the full minutes of a run that begins now. It leaves out those of the first
// 15 seconds, in which the users' preferences are still being stored.
func agendaMinutes(now time.Time, span time.Duration) (minutes []time.Time) {
	for at := now.Add(15 * time.Second).Truncate(time.Minute).Add(time.Minute); at.Before(now.Add(span)); at = at.Add(time.Minute) {
		minutes = append(minutes, at)
	}
	return minutes
}

// planAgendas creates the tasks and the agendas of these users.
func (run *run) planAgendas(ctx context.Context) error {
	minutes := agendaMinutes(run.began, run.span)
	if len(minutes) == 0 {
		return nil
	}
	run.agendas = map[int]time.Time{}
	for i := range agendaUsers {
		user, at := firstAgenda+i, minutes[i%len(minutes)]
		task := map[string]any{"title": agendaTask(user), "due_date": run.began.Add(-time.Hour), "reminders": []string{}}
		if err := run.client.must(ctx, http.StatusCreated, user, "POST", "/api/tasks", task, "Idempotency-Key", uuid.NewString()); err != nil {
			return err
		}
		wants := map[string]any{"time_zone": where, "agenda": map[string]string{"channel": "email", "at": at.In(preferences.Zone(where)).Format("15:04")}}
		if err := run.client.must(ctx, http.StatusOK, user, "PUT", "/api/preferences", wants); err != nil {
			return err
		}
		run.agendas[user] = at
	}
	return nil
}

// judgeAgendas compares the agendas that came with those that had to come.
func (run *run) judgeAgendas(t *tally) {
	came := map[int][]told{}
	for _, m := range run.sys.Sandbox().Messages() {
		if user, ok := ofAgenda(m); ok {
			id, _ := uuid.Parse(m.DeliveryID)
			came[user] = append(came[user], told{id: id, provider: m.Provider, at: m.ReceivedAt, cut: m.Cut})
		}
	}
	for user, at := range run.agendas {
		l := &life{script: script{user: user}}
		l.held = run.held.has(l)
		t.judgeAgenda(l, at, came[user], run.struck)
	}
}

// judgeAgenda judges the messages that came of one user's agenda. Of l, only the user and held are
// set.
func (t *tally) judgeAgenda(l *life, at time.Time, came []told, faults []struck) {
	t.agendas++
	if len(came) == 0 {
		t.find(l, "lost", "the agenda at %s did not come", clock(at))
		return
	}
	slices.SortFunc(came, func(a, b told) int { return a.at.Compare(b.at) })
	if came[0].at.Before(at) {
		t.find(l, "early", "the agenda is %v before %s", at.Sub(came[0].at), clock(at))
	}
	if n := len(firstsOf(came)); n > 1 {
		t.find(l, "duplicate", "%d agendas of one day came", n)
	}
	t.tooLate(l, agenda, at, came[0].at, faults)
	t.judgeCopies(l, agenda, came, faults)
}

// agenda is the name of agendas in a result, beside the names of channels.
const agenda = "agenda"
