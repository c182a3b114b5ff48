package sms_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/sms"
)

const due = "\nDue Mon, 23 Nov 2026 14:30 UTC" // 31 septets

func message(title string) notify.Message {
	at := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{Title: title, DueDate: &at}
}

func TestText(t *testing.T) {
	for name, test := range map[string]struct{ title, want string }{
		"short":                       {"Pay rent", "Pay rent"},
		"two lines":                   {"Pay\r\nrent", "Pay rent"},
		"just fits":                   {strings.Repeat("a", 129), strings.Repeat("a", 129)},
		"one too many":                {strings.Repeat("a", 130), strings.Repeat("a", 126) + "..."},
		"extension takes two":         {strings.Repeat("€", 65), strings.Repeat("€", 63) + "..."},
		"German is in the alphabet":   {strings.Repeat("äöüßÄÖÜ", 18), strings.Repeat("äöüßÄÖÜ", 18)},
		"UCS-2 just fits":             {strings.Repeat("ж", 39), strings.Repeat("ж", 39)},
		"UCS-2, one too many":         {strings.Repeat("ж", 40), strings.Repeat("ж", 36) + "..."},
		"pairs are not parted":        {strings.Repeat("😀", 20), strings.Repeat("😀", 18) + "..."},
		"families are not parted":     {"Call " + strings.Repeat("👨‍👩‍👧‍👦", 4), "Call " + strings.Repeat("👨‍👩‍👧‍👦", 2) + "..."},
		"flags are not parted":        {strings.Repeat("🇩🇪", 11), strings.Repeat("🇩🇪", 9) + "..."},
		"accents stay":                {strings.Repeat("e\u0301", 25), strings.Repeat("e\u0301", 18) + "..."},
		"without what is not in it":   {strings.Repeat("a", 120) + " ж", strings.Repeat("a", 120) + "..."},
		"one character that is huge":  {"e" + strings.Repeat("\u0301", 200), "..."},
		"no space before the dots":    {strings.Repeat("a", 125) + "  " + strings.Repeat("a", 20), strings.Repeat("a", 125) + "..."},
		"no title that can be cut up": {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := sms.Text(message(test.title))
			if got != test.want+due || !sms.Fits(got) {
				t.Errorf("got  %q\nwant %q", got, test.want+due)
			}
		})
	}
	if got := sms.Text(notify.Message{Title: "Pay rent"}); got != "Pay rent" {
		t.Errorf("without a due date: %q", got)
	}
}

// Whatever the title is, the text fits into one SMS, and uses all of it.
func TestTextFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := message(rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("aä€ж😀\u0301\u200d👩🇩🇪 ")))).Draw(t, "title"))
		text := sms.Text(m)
		if !sms.Fits(text) || !utf8.ValidString(text) || len(utf16.Encode([]rune(text))) > 160 {
			t.Fatalf("%q does not fit", text)
		}
		title := strings.TrimSuffix(text, due)
		begin, cut := strings.CutSuffix(title, "...")
		if !cut || title == m.Headline() {
			if title != m.Headline() {
				t.Fatalf("%q became %q", m.Headline(), title)
			}
			return
		}
		var longer string
		for it := graphemes.FromString(m.Headline()); it.Next(); {
			if longer = m.Headline()[:it.End()]; len(strings.TrimSpace(longer)) > len(begin) {
				break
			}
		}
		if !strings.HasPrefix(longer, begin) || sms.Fits(strings.TrimSpace(longer)+"..."+due) {
			t.Fatalf("%q is cut in half, or shorter than need be: %q would fit", begin, longer)
		}
	})
}

// The text has the link if it fits together with everything else, and only then.
func TestLink(t *testing.T) {
	const link = "https://api.example.com/m/0123456789012345678901234567890123456789012345678901234567" // 84 septets
	for title, fits := range map[string]bool{
		"Pay rent": true, strings.Repeat("a", 160-31-85): true, strings.Repeat("a", 160-31-84): false, strings.Repeat("a", 300): false, "Платить": false,
	} {
		m := message(title)
		without := sms.Text(m)
		m.Links = notify.Links{Done: "https://api.example.com/m/D", Snooze: "https://api.example.com/m/S", Any: link}
		want := without
		if fits {
			want += "\n" + link
		}
		if got := sms.Text(m); got != want || !sms.Fits(got) {
			t.Errorf("%d characters: %q, want %q", len(title), got, want)
		}
	}
}

// A verification is never cut, and with a link of usual length it is one SMS.
func TestVerification(t *testing.T) {
	for _, language := range []string{"en", "de"} {
		m := message("Pay rent")
		m.Language = language
		m.Verification = &notify.Verification{Code: "012345", NotMe: "https://api.example.com/api/not-me?token=" + strings.Repeat("A", 64)}
		text := sms.Text(m)
		if !sms.Fits(text) || !strings.HasPrefix(text, "012345 ") || !strings.HasSuffix(text, " "+m.Verification.NotMe) || strings.Contains(text, "rent") {
			t.Errorf("%d characters: %s", len(text), text)
		}
		m.Verification.NotMe = "https://" + strings.Repeat("a", 200) + ".example.com/"
		if text := sms.Text(m); !strings.HasSuffix(text, m.Verification.NotMe) {
			t.Errorf("the link is cut: %s", text)
		}
	}
}

// A bundle is one SMS, too: the number of reminders, and as many titles as fit.
func TestBundle(t *testing.T) {
	m := notify.Message{Bundle: []notify.Bundled{{Title: "Pay rent"}, {Title: "Call\nBob"}}}
	if got := sms.Text(m); got != "2 reminders: Pay rent, Call Bob" {
		t.Errorf("%q", got)
	}
	m.Bundle = append(m.Bundle, notify.Bundled{Title: strings.Repeat("a", 200)}, notify.Bundled{Title: "Eat"})
	if got := sms.Text(m); !sms.Fits(got) || len(got) != 160 || !strings.HasPrefix(got, "4 reminders: Pay rent, Call Bob, aaa") || !strings.HasSuffix(got, "a...") {
		t.Errorf("%d characters: %q", len(got), got)
	}
}
