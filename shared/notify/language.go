package notify

import (
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/language"
)

// words are Duebell's own texts in a language. To add a language, add a file to the folder
// languages, named by its BCP 47 tag.
type words struct {
	Months      [12]string `json:"months"`
	Weekdays    [7]string  `json:"weekdays"` // from Sunday on
	Due         string     `json:"due"`      // with {weekday}, {day}, {month}, {year} and {time}
	Subject     string     `json:"subject"`  // with {title}
	Unsubscribe string     `json:"unsubscribe"`

	Overdue      string            `json:"overdue"` // the same for an overdue task
	Agenda       agendaWords       `json:"agenda"`
	Bundle       bundleWords       `json:"bundle"`
	Links        linkWords         `json:"links"`
	Page         PageWords         `json:"page"`
	Verification verificationWords `json:"verification"`
	Test         testWords         `json:"test"`
}

// testWords are the words of a test message.
type testWords struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

//go:embed languages/*.json
var files embed.FS

// english is the language for users whose own has no file.
var english = language.English

// tags are the languages with a file, English first. catalogue has their words.
var tags, catalogue = readLanguages()

var matcher = language.NewMatcher(tags)

func readLanguages() (tags []language.Tag, catalogue map[language.Tag]words) {
	entries, err := files.ReadDir("languages")
	if err != nil {
		panic(err)
	}
	tags, catalogue = []language.Tag{english}, map[language.Tag]words{}
	for _, entry := range entries {
		tag := language.MustParse(strings.TrimSuffix(entry.Name(), ".json"))
		text, err := files.ReadFile("languages/" + entry.Name())
		if err != nil {
			panic(err)
		}
		var w words
		if err := json.Unmarshal(text, &w, json.RejectUnknownMembers(true)); err != nil {
			panic(fmt.Sprintf("%s: %v", entry.Name(), err))
		}
		catalogue[tag] = w
		if tag != english {
			tags = append(tags, tag)
		}
	}
	return tags, catalogue
}

// Lang returns the language of the message's words as a BCP 47 tag: Language, or the nearest one
// that has a file, or English.
func (m Message) Lang() string { return m.tag().String() }

func (m Message) tag() language.Tag {
	wanted, err := language.Parse(m.Language)
	if err != nil {
		return english
	}
	return nearest(wanted)
}

// nearest returns the language with a file that fits the wanted ones best.
func nearest(wanted ...language.Tag) language.Tag {
	_, i, confidence := matcher.Match(wanted...)
	if confidence < language.High { // a related language, but another one
		return english
	}
	return tags[i]
}

func (m Message) words() words { return catalogue[m.tag()] }

// Subject returns a subject: the title, or a bundle's titles, on one line.
func (m Message) Subject() string {
	if m.Verification != nil {
		return m.words().Verification.Subject
	}
	if m.Bundle != nil {
		return m.bundleSubject()
	}
	return strings.ReplaceAll(m.words().Subject, "{title}", m.Headline())
}

// UnsubscribeText returns the text of the unsubscribe link.
func (m Message) UnsubscribeText() string { return m.words().Unsubscribe }

// Due returns when the task is due, in the user's language and time zone: "Due Mon, 23 Nov 2026
// 14:30 UTC", "Due Mon, 23 Nov 2026 15:30 CET (UTC+01:00)", or "Due Mon, 23 Nov 2026 20:15
// UTC+05:45" where the zone has no short name. An overdue task has "Overdue since" instead of "Due".
func (m Message) Due() string {
	if m.Overdue {
		return m.when(m.words().Overdue)
	}
	return m.when(m.words().Due)
}

// when returns words with their placeholders, such as {day}, replaced by the due date.
func (m Message) when(words string) string {
	if m.DueDate == nil {
		return ""
	}
	due := m.DueDate.UTC()
	if m.Zone != nil {
		due = due.In(m.Zone)
	}
	w := m.words()
	return strings.NewReplacer(
		"{weekday}", w.Weekdays[due.Weekday()], "{day}", due.Format("2"), "{month}", w.Months[due.Month()-1],
		"{year}", due.Format("2006"), "{time}", clock(due),
	).Replace(words)
}

// clock returns the time of day with its zone.
func clock(t time.Time) string {
	layout := "15:04"
	if t.Second() != 0 {
		layout += ":05"
	}
	switch name, _ := t.Zone(); {
	case name == "UTC":
		layout += " MST"
	case strings.HasPrefix(name, "+"), strings.HasPrefix(name, "-"):
		layout += " UTC-07:00"
	default: // short names are ambiguous
		layout += " MST (UTC-07:00)"
	}
	return t.Format(layout)
}
