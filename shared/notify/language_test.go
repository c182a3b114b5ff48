package notify

import (
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"
)

func TestLanguages(t *testing.T) {
	due := time.Date(2026, 3, 1, 14, 30, 0, 0, time.UTC)
	const en, de = "Due Sun, 1 Mar 2026 14:30 UTC", "Fällig am So., 1. März 2026, 14:30 UTC"
	for tag, want := range map[string]string{
		"": en, "en": en, "en-GB": en, "EN-us": en, "fr": en, "nl": en, "x-klingon": en, "zz": en, "not a language": en, "mul": en, "und": en,
		"de": de, "de-AT": de, "de-CH-1901": de, "DE": de, "de-Latn-DE": de,
	} {
		m := Message{Title: "Pay\nrent {title}", DueDate: &due, Language: tag}
		if got := m.Due(); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
		subject, lang := "Reminder: Pay rent {title}", "en"
		if want == de {
			subject, lang = "Erinnerung: Pay rent {title}", "de"
		}
		if m.Subject() != subject || m.Lang() != lang {
			t.Errorf("%q: %q in %s", tag, m.Subject(), m.Lang())
		}
	}
}

func TestPageWordsIn(t *testing.T) {
	for languages, want := range map[string]string{
		"": "en", "en": "en", "de": "de", "de-AT": "de", "de-DE,de;q=0.9,en;q=0.8": "de", "fr, de;q=0.5": "de", "en;q=0.5, de": "de", "fr": "en", ";;;": "en", "*": "en", "zz": "en",
	} {
		if w := PageWordsIn(languages); w.Lang != want || w.Done != map[string]string{"en": "Done", "de": "Erledigt"}[want] {
			t.Errorf("%q: %q in %s", languages, w.Done, w.Lang)
		}
	}
}

// Each language must have all texts.
func TestCatalogueIsComplete(t *testing.T) {
	found, err := fs.Glob(files, "languages/*.json")
	if err != nil || len(found) != len(tags) || !slices.Contains(tags, language.German) || tags[0] != language.English {
		t.Fatal(found, tags, err)
	}
	placeholder := regexp.MustCompile(`\{\w+\}`)
	for tag, w := range catalogue {
		for text, want := range map[string][]string{
			w.Due: {"{day}", "{month}", "{time}", "{weekday}", "{year}"}, w.Subject: {"{title}"}, w.Unsubscribe: nil,
			w.Verification.Subject: nil, w.Verification.Intro: nil, w.Verification.Link: nil, w.Verification.Code: {"{code}"}, w.Verification.Ignore: nil,
			w.Page.SnoozedText: {"{day}", "{month}", "{time}", "{weekday}", "{year}"}, w.Verification.NotMe: nil, w.Verification.SMS: {"{code}", "{not_me}"}, w.Verification.Title: nil, w.Verification.Body: {"{date}"},
		} {
			if got := placeholder.FindAllString(text, -1); text == "" || !slices.Equal(slices.Sorted(slices.Values(got)), want) {
				t.Errorf("%s: %q has %v, want %v", tag, text, got, want)
			}
		}
		for n := range 200 { // which needs every form that the language has for whole numbers
			for _, words := range []counted{w.Bundle.Count, w.Bundle.More} {
				if got, want := (Message{Language: tag.String()}).counted(words, n), strconv.Itoa(n); !strings.Contains(got, want) || got == want {
					t.Errorf("%s: %d is %q", tag, n, got)
				}
			}
		}
		page := reflect.ValueOf(w.Page)
		for i := range page.NumField() {
			if field := page.Type().Field(i); field.Name != "Lang" && page.Field(i).String() == "" {
				t.Errorf("%s: nothing for %s", tag, field.Tag.Get("json"))
			}
		}
		for _, word := range append(append(w.Months[:], w.Weekdays[:]...), w.Links.Done, w.Links.Snooze) {
			if word == "" || strings.TrimSpace(word) != word {
				t.Errorf("%s: %q among the months, weekdays and links", tag, word)
			}
		}
	}
}

func TestHeadline(t *testing.T) {
	for title, want := range map[string]string{
		"Pay rent": "Pay rent", " Pay\r\n rent\t": "Pay rent", "a\x00b\x1bc\u0085d\u2028e": "a b c d e", "\n": "", "😀 é": "😀 é",
	} {
		if got := (Message{Title: title}).Headline(); got != want {
			t.Errorf("%q: %q", title, got)
		}
	}
}
