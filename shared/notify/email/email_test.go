package email_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/email"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/unsubscribe"
)

var links = unsubscribe.Config{PublicURL: "https://api.example.com", Keys: unsubscribe.Keys{Keys: []config.Secret{"a-key-of-at-least-32-characters-!!"}}}

func write(t *testing.T, m notify.Message, links unsubscribe.Config) email.Mail {
	t.Helper()
	mail, err := email.Config{From: "Duebell <reminders@duebell.example>", Unsubscribe: links}.Write(m)
	if err != nil {
		t.Fatal(err)
	}
	return mail
}

func message() notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{UserID: "ada", To: "ada@example.com", Title: "Pay rent", Notes: "Bank transfer", DueDate: &due, Zone: time.FixedZone("CET", 3600)}
}

func TestWrite(t *testing.T) {
	link := links.Link("ada", "ada@example.com")
	for language, want := range map[string]struct{ subject, due, unsubscribe string }{
		"en": {"Reminder: Pay rent", "Due Mon, 23 Nov 2026 15:30 CET (UTC+01:00)", "No more reminders to this address"},
		"de": {"Erinnerung: Pay rent", "Fällig am Mo., 23. Nov. 2026, 15:30 CET (UTC+01:00)", "Keine Erinnerungen mehr an diese Adresse"},
	} {
		m := message()
		m.Language = language
		mail := write(t, m, links)
		if mail.From.Name != "Duebell" || mail.From.Address != "reminders@duebell.example" || mail.To != "ada@example.com" || mail.Subject != want.subject {
			t.Errorf("%s: %+v", language, mail)
		}
		if text := "Pay rent\n\n" + want.due + "\n\nBank transfer\n\n-- \n" + want.unsubscribe + ": " + link + "\n"; mail.Text != text {
			t.Errorf("%s: %q, want %q", language, mail.Text, text)
		}
		elements, shown := parse(t, mail.HTML)
		if shown != "Pay rent "+want.due+" Bank transfer "+want.unsubscribe || !slices.Contains(elements, "html lang="+language) || !slices.Contains(elements, "a href="+link) {
			t.Errorf("%s: %q in %v", language, shown, elements)
		}
		if mail.Headers["List-Unsubscribe"] != "<"+link+">" || mail.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" || len(mail.Headers) != 2 {
			t.Errorf("%s: %v", language, mail.Headers)
		}
	}
	mail := write(t, message(), unsubscribe.Config{})
	if len(mail.Headers) > 0 || strings.Contains(mail.Text, "--") || strings.Contains(mail.HTML, "<a") {
		t.Errorf("without links: %+v", mail)
	}
}

// Whatever users write, the HTML has the same elements and attributes as for a plain text, and
// shows the text unchanged.
func TestHostileTexts(t *testing.T) {
	m := message()
	m.Links = notifytest.Links
	plain, _ := parse(t, write(t, m, links).HTML)
	for _, text := range notifytest.Texts {
		m := message()
		m.Title, m.Notes, m.Links = text, text, notifytest.Links
		mail := write(t, m, links)
		elements, shown := parse(t, mail.HTML)
		if !slices.Equal(elements, plain) {
			t.Errorf("%q: %v, want %v", text, elements, plain)
		}
		clean := strings.Join(strings.Fields(strings.ReplaceAll(text, "\x00", "\uFFFD")), " ")
		if strings.Count(shown, clean) < 2 {
			t.Errorf("%q: shows %q", text, shown)
		}
		if strings.ContainsAny(mail.Subject, "\r\n\x00\u2028\u0085") {
			t.Errorf("%q: subject %q", text, mail.Subject)
		}
		if strings.Contains(mail.Text, "\x00") {
			t.Errorf("%q: a NUL in the text", text)
		}
	}
}

// A message has exactly the links that it was given.
func TestLinks(t *testing.T) {
	const done, snooze = "https://api.example.com/m/D", "https://api.example.com/m/S"
	for language, text := range map[string][2]string{"en": {"Done", "Snooze"}, "de": {"Erledigt", "Später"}} {
		m := message()
		m.Language, m.Links = language, notify.Links{Done: done, Snooze: snooze, Acknowledge: "https://api.example.com/m/A", Any: "https://api.example.com/m/any"}
		mail := write(t, m, unsubscribe.Config{})
		if want := "\n\nBank transfer\n\n" + text[0] + ": " + done + "\n" + text[1] + ": " + snooze + "\n"; !strings.HasSuffix(mail.Text, want) {
			t.Errorf("%s: %q does not end in %q", language, mail.Text, want)
		}
		elements, shown := parse(t, mail.HTML)
		elements = slices.DeleteFunc(elements, func(e string) bool { return !strings.HasPrefix(e, "a ") })
		if len(elements) != 2 || !strings.HasPrefix(elements[0], "a href="+done+" ") || !strings.HasPrefix(elements[1], "a href="+snooze+" ") || !strings.HasSuffix(shown, " "+text[0]+" "+text[1]) {
			t.Errorf("%s: %v, %q", language, elements, shown)
		}
		m.Verification = &notify.Verification{Code: "012345", Link: "https://api.example.com/v", NotMe: "https://api.example.com/n"}
		if mail := write(t, m, unsubscribe.Config{}); strings.Contains(mail.Text+mail.HTML, "/m/") {
			t.Errorf("what asks an owner has links: %s %s", mail.Text, mail.HTML)
		}
	}
}

// parse returns a page's elements with their attributes, and its text.
func parse(t *testing.T, page string) (elements []string, shown string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for n := range root.Descendants() {
		switch n.Type {
		case html.TextNode:
			words = append(words, strings.Fields(n.Data)...)
		case html.ElementNode:
			element := n.Data
			for _, a := range n.Attr {
				element += " " + a.Key + "=" + a.Val
			}
			elements = append(elements, element)
		}
	}
	return elements, strings.Join(words, " ")
}

func TestConfig(t *testing.T) {
	for from, good := range map[string]bool{"": true, "a@x.org": true, "Ada <a@x.org>": true, "nobody": false, "a@x.org, b@x.org": false} {
		if err := (email.Config{From: from}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", from, err)
		}
	}
}

// A verification contains nothing that a user has written. Its headers unsubscribe from
// verifications, not from reminders.
func TestVerification(t *testing.T) {
	v := &notify.Verification{Code: "012345", Link: "https://api.example.com/api/verify?token=A-_", NotMe: "https://api.example.com/api/not-me?token=A-_"}
	for language, subject := range map[string]string{"en": "Please confirm this address for Duebell", "de": "Bitte diese Adresse für Duebell bestätigen"} {
		m := message()
		m.Language, m.UserID, m.Verification = language, "user-17", v
		mail := write(t, m, links)
		if mail.Subject != subject || mail.Headers["List-Unsubscribe"] != "<"+v.NotMe+">" || mail.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" {
			t.Errorf("%s: %+v", language, mail)
		}
		elements, shown := parse(t, mail.HTML)
		for _, link := range []string{v.Link, v.NotMe} {
			if !slices.ContainsFunc(elements, func(e string) bool { return strings.HasSuffix(e, "href="+link) }) || !strings.Contains(mail.Text, ": "+link) {
				t.Errorf("%s: %s is missing in %v, or %s", language, link, elements, mail.Text)
			}
		}
		for _, text := range []string{shown, mail.Text} {
			if !strings.Contains(text, v.Code) {
				t.Errorf("%s: no code in %s", language, text)
			}
			for _, typed := range []string{m.Title, m.Notes, m.UserID, m.To, "2026", "unsubscribe"} {
				if strings.Contains(text, typed) {
					t.Errorf("%s: %q in %s", language, typed, text)
				}
			}
		}
	}
}

// A bundle is a list that shows whatever users write unchanged. It has the usual link to
// unsubscribe.
func TestBundle(t *testing.T) {
	bundle := func(title string) notify.Message {
		m := message()
		m.Bundle = []notify.Bundled{{Title: title, DueDate: m.DueDate}, {Title: title, DueDate: m.DueDate}}
		m.Title, m.Notes, m.DueDate = "", "", nil
		return m
	}
	mail := write(t, bundle("Eat"), links)
	const due = "Due Mon, 23 Nov 2026 15:30 CET (UTC+01:00)"
	plain, shown := parse(t, mail.HTML)
	if mail.Subject != "2 reminders: Eat, Eat" || shown != "2 reminders Eat "+due+" Eat "+due+" No more reminders to this address" || mail.Headers["List-Unsubscribe"] == "" {
		t.Errorf("%+v shows %q", mail, shown)
	}
	if want := "2 reminders\n\nEat\n" + due + "\n\nEat\n" + due + "\n\n-- \nNo more reminders to this address: "; !strings.HasPrefix(mail.Text, want) {
		t.Errorf("%q", mail.Text)
	}
	acts := bundle("Eat")
	acts.Bundle[1].Links = notify.Links{Done: "https://api.example.com/m/d", Snooze: "https://api.example.com/m/s"}
	mail = write(t, acts, links)
	if want := "\n\nEat\n" + due + "\n\nEat\n" + due + "\nDone: https://api.example.com/m/d\nSnooze: https://api.example.com/m/s\n\n-- \n"; !strings.Contains(mail.Text, want) {
		t.Errorf("%q", mail.Text)
	}
	if want := `<a href="https://api.example.com/m/d">Done</a> · <a href="https://api.example.com/m/s">Snooze</a></li>`; strings.Count(mail.HTML, want) != 1 {
		t.Errorf("%s", mail.HTML)
	}
	for _, text := range notifytest.Texts {
		mail := write(t, bundle(text), links)
		elements, shown := parse(t, mail.HTML)
		clean := strings.Join(strings.Fields(strings.ReplaceAll(text, "\x00", "\uFFFD")), " ")
		if !slices.Equal(elements, plain) || strings.Count(shown, clean) < 2 || strings.ContainsAny(mail.Subject, "\r\n\x00\u2028\u0085") || strings.Contains(mail.Text, "\x00") {
			t.Errorf("%q: %v shows %q under %q", text, elements, shown, mail.Subject)
		}
	}
}
