// Package webhook is the channel that posts reminders to a user's URL, signed as Standard Webhooks
// say: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
//
// The user chooses the URL, so it is not trusted. Its host must be on the public Internet each time
// it is connected to, whatever its name resolved to before. No proxy is used, since a proxy would
// connect for us. Redirects are not followed. Nobody is shown the answer.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/guard"
	"github.com/duebell/duebell/shared/preferences"
)

// timeout is the most that a post may take.
const timeout = 5 * time.Second

// Channel posts to webhooks. It is safe for concurrent use.
type Channel struct {
	rules  preferences.Rules
	client *http.Client
}

// New returns the channel.
func New(rules preferences.Rules) *Channel { return open(rules, net.DefaultResolver) }

func open(rules preferences.Rules, names *net.Resolver) *Channel {
	return &Channel{rules: rules, client: guard.NewClient(rules, names)}
}

// event is the body of a post.
type event struct {
	Event     string     `json:"event"`
	TaskID    string     `json:"task_id"`
	TaskTitle string     `json:"task_title"`
	DueDate   *time.Time `json:"due_date"`
	UserID    string     `json:"user_id"`
	// Occurrence is set for recurring tasks.
	Occurrence string `json:"occurrence,omitempty"`
	// Links maps actions to their links. It is set if the user wants links.
	Links map[string]string `json:"links,omitempty"`
}

// agenda is the body of a post that carries an agenda.
type agenda struct {
	Event    string       `json:"event"`
	UserID   string       `json:"user_id"`
	Day      string       `json:"day"`
	DueToday int          `json:"due_today"`
	Overdue  int          `json:"overdue"`
	Tasks    []agendaTask `json:"tasks"`
}

type agendaTask struct {
	TaskID    string    `json:"task_id"`
	TaskTitle string    `json:"task_title"`
	DueDate   time.Time `json:"due_date"`
	Overdue   bool      `json:"overdue"`
}

func agendaOf(m notify.Message) agenda {
	a := agenda{Event: "agenda", UserID: m.UserID, Day: m.Agenda.Day, DueToday: m.Agenda.Today, Overdue: m.Agenda.Overdue, Tasks: []agendaTask{}}
	for _, t := range m.Agenda.Tasks {
		a.Tasks = append(a.Tasks, agendaTask{t.TaskID.String(), t.Title, *t.DueDate, t.Overdue})
	}
	return a
}

// Send posts one message to the URL in m.To, signed with each of its secrets. The error is a
// *notify.Error. It is Gone if the receiver answers 410.
func (c *Channel) Send(ctx context.Context, m notify.Message) error {
	if err := c.rules.CheckWebhook(m.To); err != nil {
		problem := err.Error()
		if f, ok := errors.AsType[*fault.Error](err); ok {
			problem = f.Message
		}
		return &notify.Error{Kind: notify.Permanent, Err: errors.New(problem)}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := request(ctx, m, time.Now())
	if err != nil {
		return &notify.Error{Kind: notify.Permanent, Err: err}
	}
	resp, err := c.client.Do(req)
	if errors.Is(err, preferences.ErrNotPublic) {
		slog.InfoContext(ctx, "a webhook's URL leads to an address that is not on the public Internet", "delivery_id", m.ID)
	}
	if err != nil {
		// The user gets the same error for a host that is not public and one that can't be reached.
		// A difference would show what is in our network.
		return notify.FromTransport(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusGone {
		return &notify.Error{Kind: notify.Permanent, Gone: true, Err: errors.New("the webhook has answered that it is gone (410), so it is switched off")}
	}
	return notify.FromStatus(resp.StatusCode, resp.Header, "", time.Now())
}

func request(ctx context.Context, m notify.Message, now time.Time) (*http.Request, error) {
	links := map[string]string{"done": m.Links.Done, "snooze": m.Links.Snooze, "acknowledge": m.Links.Acknowledge}
	maps.DeleteFunc(links, func(_, url string) bool { return url == "" })
	name := "task_reminder"
	if m.Test {
		name = "test"
	}
	var content any = event{name, m.Task(), m.Title, m.DueDate, m.UserID, m.Occurrence, links}
	if m.Agenda != nil {
		content = agendaOf(m)
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("write the body: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.To, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the webhook's URL can't be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Duebell")
	req.Header.Set(standardwebhooks.HeaderWebhookID, m.ID.String())
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	if len(m.Secrets) == 0 {
		return req, nil
	}
	signatures, err := sign(m.Secrets, m.ID.String(), now, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signatures)
	return req, nil
}

// sign returns the signatures by all secrets, the newest first. A receiver needs to know only one
// of them.
func sign(secrets []config.Secret, id string, now time.Time, body []byte) (string, error) {
	var signatures []string
	for _, secret := range secrets {
		key, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil {
			return "", errors.New("the webhook's secret can't be used; give another one in your preferences")
		}
		signature, err := key.Sign(id, now, body)
		if err != nil {
			return "", errors.New("the webhook's post can't be signed")
		}
		signatures = append(signatures, signature)
	}
	return strings.Join(signatures, " "), nil
}
