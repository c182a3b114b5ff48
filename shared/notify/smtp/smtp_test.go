package smtp_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/smtp"
	"github.com/duebell/duebell/shared/text"
	"github.com/duebell/duebell/shared/unsubscribe"
)

const secret = "very-secret"

// trusted and stranger are certificates for this machine. The system trusts the first one only.
var trusted, stranger tls.Certificate

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "duebell-smtp-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	trusted, stranger = certificate(), certificate()
	file := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: trusted.Certificate[0]}), 0o600); err != nil {
		panic(err)
	}
	os.Setenv("SSL_CERT_FILE", file)
	os.Setenv("SSL_CERT_DIR", dir)
	return m.Run()
}

func certificate() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func channel(t *testing.T, cfg smtp.Config, links unsubscribe.Config) *smtp.Channel {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	c, err := smtp.New(cfg, email.Config{From: "Düebell <reminders@duebell.example>", Unsubscribe: links})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func message() notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{ID: uuid.Must(uuid.NewV7()), UserID: "ada", To: "ada@example.com", Title: "Pay rent", Notes: "Bank transfer", DueDate: &due}
}

// inSandbox opens the channel with a strict mail server.
func inSandbox(t *testing.T, mode string, server *tls.Config, links unsubscribe.Config) (*sandbox.Sandbox, *smtp.Channel) {
	t.Helper()
	s, l := sandbox.New(), listen(t)
	inner := l
	if mode == "tls" {
		inner, server = tls.NewListener(l, server), nil
	}
	go func() { _ = s.ServeSMTP(inner, server) }() // ends with the listener
	variables := sandbox.SMTPEnvironment(l.Addr().String())
	return s, channel(t, smtp.Config{
		Address: variables["SMTP_ADDRESS"], Username: variables["SMTP_USERNAME"], Password: config.Secret(variables["SMTP_PASSWORD"]), TLS: mode,
	}, links)
}

func TestSend(t *testing.T) {
	links := unsubscribe.Config{PublicURL: "https://api.example.com", Keys: unsubscribe.Keys{Keys: []config.Secret{"a-key-of-at-least-32-characters-!!"}}}
	for mode, server := range map[string]*tls.Config{"starttls": {Certificates: []tls.Certificate{trusted}}, "tls": {Certificates: []tls.Certificate{trusted}}, "none": nil} {
		t.Run(mode, func(t *testing.T) {
			s, c := inSandbox(t, mode, server, links)
			m := message()
			if err := c.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			got := s.Messages()
			if len(got) != 1 || got[0].To != m.To || got[0].Subject != "Reminder: Pay rent" || got[0].DeliveryID != m.ID.String() {
				t.Fatalf("it got %+v", got)
			}
			for _, want := range []string{"Due Mon, 23 Nov 2026 14:30 UTC", "Bank transfer", links.Link("ada", m.To)} {
				if !strings.Contains(got[0].Body, want) {
					t.Errorf("%q is missing in %s", want, got[0].Body)
				}
			}
		})
	}
}

// A server without a trusted certificate for its name gets neither a password nor a message.
func TestStrangers(t *testing.T) {
	for mode, server := range map[string]*tls.Config{"starttls": {Certificates: []tls.Certificate{stranger}}, "tls": {Certificates: []tls.Certificate{stranger}}, "starttls, which is not there": nil} {
		mode, _, _ = strings.Cut(mode, ",")
		s, c := inSandbox(t, mode, server, unsubscribe.Config{})
		err := c.Send(t.Context(), message())
		if kind, _ := notify.KindOf(err); kind != notify.Retry || len(s.Messages()) > 0 {
			t.Errorf("%s: %v, and it got %v", mode, err, s.Messages())
		}
	}
}

// Whatever users write, the message has one subject and plain text.
func TestHostileTexts(t *testing.T) {
	s, c := inSandbox(t, "none", nil, unsubscribe.Config{})
	for i, hostile := range notifytest.Texts {
		m := message()
		m.Title, m.Notes = hostile, strings.Repeat(hostile+"\n", 3)
		if err := c.Send(t.Context(), m); err != nil {
			t.Errorf("%q: %v", hostile, err)
			continue
		}
		got := s.Messages()
		if len(got) != i+1 || strings.ReplaceAll(got[i].Subject, "\u2060", "") != "Reminder: "+m.Headline() || got[i].To != m.To {
			t.Fatalf("%q: it got %+v", hostile, got[i:])
		}
		if body := got[i].Body; !strings.Contains(visible(body), visible(hostile)) {
			t.Errorf("%q is missing in %q", hostile, body)
		}
	}
	for _, to := range []string{"ada@example.com\r\nRCPT TO:<eve@example.com>", "ada@example.com, eve@example.com", "", "ada"} {
		m := message()
		m.To = to
		err := c.Send(t.Context(), m)
		if kind, _ := notify.KindOf(err); kind != notify.Permanent {
			t.Errorf("to %q: %v", to, err)
		}
	}
	if got := len(s.Messages()); got != len(notifytest.Texts) {
		t.Errorf("it got %d messages", got)
	}
}

func visible(s string) string { return text.Clean(strings.Join(strings.Fields(s), ""), "") }

func TestConcurrency(t *testing.T) {
	s, c := inSandbox(t, "none", nil, unsubscribe.Config{})
	const sends = 20
	var group sync.WaitGroup
	for range sends {
		group.Go(func() {
			if err := c.Send(t.Context(), message()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	ids := map[string]bool{}
	for _, m := range s.Messages() {
		ids[m.DeliveryID] = true
	}
	if len(ids) != sends {
		t.Errorf("%d of %d messages arrived", len(ids), sends)
	}
}

const (
	cut  = "cut"  // the connection is cut instead of a reply
	hang = "hang" // no reply ever comes
)

// scripted starts a mail server with other replies to some commands. The end of a message is the
// command ".".
func scripted(t *testing.T, replies map[string]string) (address string) {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go talk(conn, replies)
		}
	}()
	return l.Addr().String()
}

func talk(conn net.Conn, replies map[string]string) {
	defer conn.Close()
	usual := map[string]string{
		"hello": "220 ready", "EHLO": "250-localhost\r\n250 AUTH PLAIN", "AUTH": "235 ok", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go ahead",
		".": "250 taken", "QUIT": "221 bye", "RSET": "250 ok",
	}
	reply := func(command string) bool {
		text, other := replies[command]
		switch {
		case !other:
			text = usual[command]
		case text == cut:
			return false
		case text == hang:
			_, _ = conn.Read(make([]byte, 1)) // until the other side has had enough
			return false
		}
		_, err := fmt.Fprintf(conn, "%s\r\n", text)
		return err == nil
	}
	lines := bufio.NewScanner(conn)
	inMessage := false
	for more := reply("hello"); more && lines.Scan(); {
		command, _, _ := strings.Cut(strings.ToUpper(lines.Text()), " ")
		if inMessage && command != "." {
			continue
		}
		inMessage = command == "DATA" && replies["DATA"] == ""
		more = reply(command)
	}
}

func TestOutcomes(t *testing.T) {
	for _, test := range []struct {
		at, reply string
		want      notify.Kind
	}{
		{"", "", ""},
		{"hello", "554 go away", notify.Retry},
		{"hello", "421 busy", notify.Retry},
		{"hello", cut, notify.Retry},
		{"EHLO", cut, notify.Retry},
		{"AUTH", "535 wrong: " + secret, notify.Retry},
		// "very-secret" and "\x00duebell\x00very-secret" in the encoding that is sent.
		{"AUTH", "535 wrong: dmVyeS1zZWNyZXQ=", notify.Retry},
		{"AUTH", "535 wrong: AGR1ZWJlbGwAdmVyeS1zZWNyZXQ=", notify.Retry},
		{"AUTH", cut, notify.Retry},
		{"MAIL", "451 later", notify.Retry},
		{"MAIL", "550 not as this sender", notify.Retry},
		{"MAIL", "530 sign in", notify.Retry},
		{"MAIL", cut, notify.Retry},
		{"RCPT", "450 greylisted", notify.Retry},
		{"RCPT", "550 no such user, " + secret, notify.Permanent},
		{"RCPT", "530 sign in", notify.Retry},
		{"RCPT", cut, notify.Retry},
		{"DATA", "421 closing", notify.Retry},
		{"DATA", "554 no", notify.Permanent},
		{"DATA", cut, notify.Retry},
		{".", "421 closing", notify.Retry},
		{".", "451 later", notify.Retry},
		{".", "452 full", notify.Retry},
		{".", "550 spam", notify.Permanent},
		{".", "554 no", notify.Permanent},
		{".", "what?", notify.Unknown},
		{".", cut, notify.Unknown},
		{".", hang, notify.Unknown},
		{"RCPT", hang, notify.Retry},
		{"hello", hang, notify.Retry},
		// The message was accepted, so later errors don't matter.
		{"QUIT", cut, ""},
		{"QUIT", "500 what?", ""},
		{"RSET", cut, ""},
	} {
		name := test.at + " " + test.reply
		c := channel(t, smtp.Config{
			Address: scripted(t, map[string]string{test.at: test.reply}), Username: "duebell", Password: secret, TLS: "none",
		}, unsubscribe.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if test.reply == hang {
			ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second) // in which it gets there on a busy machine, too
		}
		err := c.Send(ctx, message())
		cancel()
		kind, _ := notify.KindOf(err)
		if err == nil {
			kind = ""
		}
		if kind != test.want || err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "dmVyeS1zZWNyZXQ") || strings.Contains(err.Error(), "AGR1")) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if code := strings.Fields(test.reply + " ?")[0]; err != nil && len(code) == 3 && code != cut && !strings.Contains(err.Error(), code) {
			t.Errorf("%s: the reply is lost: %v", name, err)
		}
	}
}

// Only a refusal of the address itself suppresses it for all users.
func TestNoSuchAddress(t *testing.T) {
	for reply, want := range map[[2]string]notify.Stop{
		{"RCPT", "550 5.1.1 no such user"}: notify.NoSuchAddress, {"RCPT", "550 5.7.1 not from you"}: "", {"RCPT", "550 no"}: "",
		{"RCPT", "450 4.1.1 later"}: "", {"MAIL", "550 5.1.1 who are you?"}: "", {".", "550 5.1.1 no such user"}: "",
	} {
		c := channel(t, smtp.Config{Address: scripted(t, map[string]string{
			"EHLO": "250-localhost\r\n250 ENHANCEDSTATUSCODES", reply[0]: reply[1],
		}), TLS: "none"}, unsubscribe.Config{})
		if err := c.Send(t.Context(), message()); err == nil || notify.StopOf(err) != want {
			t.Errorf("%s: %q, %v", reply, notify.StopOf(err), err)
		}
	}
}

func TestNeverSent(t *testing.T) {
	l := listen(t)
	l.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, ctx := range []context.Context{t.Context(), over} {
		err := channel(t, smtp.Config{Address: l.Addr().String(), TLS: "none"}, unsubscribe.Config{}).Send(ctx, message())
		if kind, _ := notify.KindOf(err); kind != notify.Retry {
			t.Errorf("got %v", err)
		}
	}
}

func TestConfig(t *testing.T) {
	for variable, cfg := range map[string]smtp.Config{
		"SMTP_ADDRESS":  {Address: "mail.example.com", TLS: "starttls"},
		"SMTP_TLS":      {Address: "mail.example.com:25", TLS: "maybe"},
		"SMTP_USERNAME": {Address: "mail.example.com:25", TLS: "starttls", Password: secret},
	} {
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), variable) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", variable, err)
		}
	}
	if (smtp.Config{}).Enabled() {
		t.Error("enabled without an address")
	}
}
