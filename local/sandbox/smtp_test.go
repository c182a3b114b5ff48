package sandbox_test

import (
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"

	"github.com/duebell/duebell/local/sandbox"
)

const mailGood = "From: Me <me@example.com>\r\nTo: a@example.com\r\nDate: Mon, 23 Nov 2026 14:30:00 +0000\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
	"Message-ID: <one@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nf=C3=BCr dich\r\n" +
	"--b\r\nContent-Type: text/html\r\n\r\n<p>html</p>\r\n--b--\r\n"

func TestSMTP(t *testing.T) {
	s := sandbox.New()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = s.ServeSMTP(listener, nil) }()
	t.Cleanup(func() { listener.Close(); <-served })
	address := listener.Addr().String()
	send := func(password, from, to, text string) error {
		return smtp.SendMail(address, smtp.PlainAuth("", "duebell", password, "127.0.0.1"), from, []string{to}, []byte(text))
	}
	code := func(err error) int {
		if e, ok := errors.AsType[*textproto.Error](err); ok {
			return e.Code
		}
		return 0
	}
	const me, you = "me@example.com", "a@example.com"
	for name, test := range map[string]struct {
		err  error
		code int
	}{
		"password":        {send("other", me, you, mailGood), 535},
		"not signed in":   {smtp.SendMail(address, nil, me, []string{you}, []byte(mailGood)), 530},
		"sender":          {send("sandbox", "me", you, mailGood), 501},
		"recipient":       {send("sandbox", me, "a", mailGood), 501},
		"no id":           {send("sandbox", me, you, replace(t, mailGood, "Message-ID: <one@example.com>\r\n", "")), 554},
		"subject twice":   {send("sandbox", me, you, "Subject: a\r\n"+mailGood), 554},
		"long line":       {send("sandbox", me, you, replace(t, mailGood, "f=C3", strings.Repeat("a", 999)+"f=C3")), 554},
		"no content type": {send("sandbox", me, you, replace(t, mailGood, "Content-Type: multipart/alternative; boundary=b\r\n", "")), 554},
	} {
		if got := code(test.err); got != test.code {
			t.Errorf("%s: %v, want %d", name, test.err, test.code)
		}
	}
	if got := s.Messages(); len(got) != 0 {
		t.Errorf("it accepted %v", got)
	}
	s.Fail(sandbox.Fault{Provider: sandbox.SMTP, Status: 451, Times: 1})
	s.Fail(sandbox.Fault{Provider: sandbox.SMTP, Cut: sandbox.CutBefore, Times: 1})
	s.Fail(sandbox.Fault{Provider: sandbox.SMTP, Cut: sandbox.CutAfter, Times: 1})
	if err := send("sandbox", me, you, mailGood); code(err) != 451 {
		t.Errorf("told to answer 451: %v", err)
	}
	for _, messages := range []int{0, 1} {
		if err := send("sandbox", me, you, mailGood); err == nil || code(err) != 0 || len(s.Messages()) != messages {
			t.Errorf("told to cut: %v, and %v", err, s.Messages())
		}
	}
	if err := send("sandbox", me, you, mailGood); err != nil {
		t.Errorf("healed: %v", err)
	}
	got := s.Messages()
	if len(got) != 2 || !got[0].Cut || got[1].Cut || got[1].To != you || got[1].Subject != "Grüße" || got[1].Body != "für dich" || got[1].DeliveryID != "one" {
		t.Errorf("the messages are %+v", got)
	}
}
