package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/webhook"
	"github.com/duebell/duebell/shared/preferences"
)

// A channel sends a message once. Its error says whether to retry, to give up, or that the result
// is unknown. Here the receiver accepts the first post, after it has checked the signature with a
// library of Standard Webhooks, and refuses the next one for now.
func Example() {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	posts := 0
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if posts++; posts > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		key, _ := standardwebhooks.NewWebhook(secret)
		var event struct {
			Title string `json:"task_title"`
		}
		fmt.Println("signed:", key.Verify(body, r.Header) == nil, "read:", json.Unmarshal(body, &event) == nil, "title:", event.Title)
	}))
	defer receiver.Close()

	_, host, _ := strings.Cut(receiver.URL, "://")
	channel := webhook.New(preferences.Rules{AllowedHosts: []string{host}}) // no others are without TLS, or private
	message := notify.Message{ID: uuid.New(), TaskID: uuid.New(), UserID: "ada", To: receiver.URL, Title: "Pay the rent", Secrets: []config.Secret{secret}}
	fmt.Println("sent:", channel.Send(context.Background(), message) == nil)

	if failed, ok := errors.AsType[*notify.Error](channel.Send(context.Background(), message)); ok {
		fmt.Println("then:", failed.Kind)
	}
	// Output:
	// signed: true read: true title: Pay the rent
	// sent: true
	// then: retry
}
