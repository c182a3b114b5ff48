package ses_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/peers"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/aws"
	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/ses"
	"github.com/duebell/duebell/shared/unsubscribe"
)

// startPeer starts an independent implementation of SES, the npm package aws-ses-v2-local, and
// returns its URL.
func startPeer(t *testing.T) string {
	t.Helper()
	peer := peers.Node(t, "node_modules/aws-ses-v2-local/dist/cli.js", "aws-ses-v2-local")
	peer.Args = append(peer.Args, "--host", "127.0.0.1", "--port", "0")
	out, err := peer.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = peer.Process.Kill()
		_ = peer.Wait() // it was killed
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, address, ok := strings.Cut(lines.Text(), "running at "); ok {
			return strings.Replace(address, "localhost", "127.0.0.1", 1)
		}
	}
	t.Fatal("aws-ses-v2-local did not start")
	return ""
}

// stored is an e-mail that the peer has received.
type stored struct {
	From        string
	Destination struct{ To, CC, BCC []string }
	Subject     string
	Body        struct{ Text, HTML string }
	Headers     []struct{ Name, Value string }
}

// An independent implementation of SES reads every e-mail as it was meant, whatever users write.
func TestPeerUnderstands(t *testing.T) {
	base := startPeer(t)
	links := unsubscribe.Config{PublicURL: "https://api.example.com", Keys: unsubscribe.Keys{Keys: []config.Secret{"a-key-of-at-least-32-characters-!!"}}}
	mail := email.Config{From: "Düebell <reminders@duebell.example>", Unsubscribe: links}
	c, err := ses.New(ses.Config{Region: "eu-central-1", URL: base}, aws.Config{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: secret}, mail)
	if err != nil {
		t.Fatal(err)
	}
	var want []email.Mail
	for _, text := range notifytest.Texts {
		m := notify.Message{ID: uuid.Must(uuid.NewV7()), UserID: "ada", To: "ada@example.com", Title: text, Notes: text}
		if err := c.Send(t.Context(), m); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		written, err := mail.Write(m)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, written)
	}
	response, err := http.Get(base + "/store")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var store struct{ Emails []stored }
	if err := json.NewDecoder(response.Body).Decode(&store); err != nil {
		t.Fatal(err)
	}
	if len(store.Emails) != len(want) {
		t.Fatalf("it took %d e-mails of %d", len(store.Emails), len(want))
	}
	for i, got := range store.Emails {
		if !slices.Equal(got.Destination.To, []string{"ada@example.com"}) || len(got.Destination.CC)+len(got.Destination.BCC) > 0 || got.From != want[i].From.String() {
			t.Errorf("from %q to %v", got.From, got.Destination)
		}
		if diff := cmp.Diff([]string{want[i].Subject, want[i].Text, want[i].HTML}, []string{got.Subject, got.Body.Text, got.Body.HTML}); diff != "" {
			t.Errorf("subject, text and HTML (-want +got):\n%s", diff)
		}
		headers := map[string]string{}
		for _, h := range got.Headers {
			headers[h.Name] = h.Value
		}
		if diff := cmp.Diff(want[i].Headers, headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	}
}
