package onesignal_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/onesignal"
)

const (
	secret       = "os_v2_app_very_secret"
	subscription = "1dd608f2-c6a1-11e3-851d-000c2940e62c"
)

func channel(t *testing.T, url string) *onesignal.Channel {
	t.Helper()
	cfg := onesignal.Config{AppID: uuid.NewString(), APIKey: secret, URL: url}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := onesignal.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Provider{
		Open:    func(t *testing.T, url string) notifytest.Channel { return channel(t, url) },
		To:      subscription,
		Secrets: []string{secret},
		Accept:  func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"id":"b6b326a8-40aa-13e5-b91b-bf8bc3fa26f7"}`) },
		Refusal: func(text string) string {
			body, _ := json.Marshal(map[string][]string{"errors": {text}})
			return string(body)
		},
		Shown: func(_ *http.Request, body []byte) (string, error) {
			var n struct {
				To       []string `json:"include_subscription_ids"`
				Headings map[string]string
				Contents map[string]string
			}
			if err := json.Unmarshal(body, &n); err != nil {
				return "", err
			}
			for _, text := range []string{n.Headings["en"], n.Contents["en"]} {
				if text == "" || strings.Contains(text, "{{") || strings.Contains(text, "{%") {
					return "", fmt.Errorf("%q would be taken for a template", text)
				}
			}
			if len(n.To) != 1 || n.To[0] != subscription {
				return "", fmt.Errorf("it goes to %v", n.To)
			}
			return strings.ReplaceAll(n.Headings["en"], "\u2060", ""), nil // as it looks
		},
	})
}

// A 200 does not always mean that a device gets the message.
func TestNobodyThere(t *testing.T) {
	for answer, want := range map[string]struct {
		kind notify.Kind
		gone bool
	}{
		`{"id":"","errors":["All included players are not subscribed"]}`:                                         {notify.Permanent, true},
		`{"id":"","errors":{"invalid_player_ids":["` + subscription + `"]}}`:                                     {notify.Permanent, true},
		`{"id":"","errors":{"invalid_subscription_ids":["` + subscription + `"]}}`:                               {notify.Permanent, true},
		`{"id":"","errors":["Another reason"]}`:                                                                  {notify.Permanent, false},
		`{"errors":["All included players are not subscribed"]}`:                                                 {notify.Permanent, true},
		`{"id":"b6b326a8-40aa-13e5-b91b-bf8bc3fa26f7","errors":{"invalid_player_ids":["` + subscription + `"]}}`: {notify.Permanent, true},
		`{"id":"b6b326a8-40aa-13e5-b91b-bf8bc3fa26f7","external_id":null}`:                                       {"", false},
		`{"id":"b6b326a8-40aa-13e5-b91b-bf8bc3fa26f7","errors":null}`:                                            {"", false},
		`{"id":"b6b326a8-40aa-13e5-b91b-bf8bc3fa26f7","errors":["Something beside"]}`:                            {"", false},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
		err := channel(t, s.URL).Send(t.Context(), notify.Message{To: subscription, Title: "Pay rent"})
		if kind, _ := notify.KindOf(err); (err != nil || want.kind != "") && kind != want.kind || notify.IsGone(err) != want.gone {
			t.Errorf("%s: %v", answer, err)
		}
		s.Close()
	}
}

// A browser opens a button's link itself; a phone's app reads the links from the data.
func TestButtons(t *testing.T) {
	type sent struct {
		Buttons    []map[string]string `json:"buttons"`
		WebButtons []map[string]string `json:"web_buttons"`
		Data       map[string]string   `json:"data"`
	}
	var got sent
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = sent{}
		if err := json.NewDecoder(r.Body).Decode(&got); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, `{"id":"b6b326a8-40aa-13e5-b91b-bf8bc3fa26f7"}`)
	}))
	defer s.Close()
	m := notify.Message{To: subscription, Title: "Pay rent", Language: "de"}
	for _, links := range []notify.Links{{}, {Done: "https://api.example.com/m/D", Snooze: "https://api.example.com/m/S"}} {
		m.Links = links
		if err := channel(t, s.URL).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		want := sent{Data: map[string]string{"task_id": m.Task()}}
		if links.Done != "" {
			want.Data["done_url"], want.Data["snooze_url"] = links.Done, links.Snooze
			want.Buttons = []map[string]string{{"id": "done", "text": "Erledigt"}, {"id": "snooze", "text": "Später"}}
			want.WebButtons = []map[string]string{{"id": "done", "text": "Erledigt", "url": links.Done}, {"id": "snooze", "text": "Später", "url": links.Snooze}}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestConfig(t *testing.T) {
	err := onesignal.Config{AppID: "one", URL: "x"}.Validate()
	for _, want := range []string{"ONESIGNAL_APP_ID", "ONESIGNAL_API_KEY", "ONESIGNAL_URL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in %v", want, err)
		}
	}
	if (onesignal.Config{}).Enabled() {
		t.Error("enabled without an app")
	}
}
