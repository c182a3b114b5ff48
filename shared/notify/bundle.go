package notify

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/feature/plural"

	"github.com/duebell/duebell/shared/text"
)

// Bundled is one of the reminders of a message that tells of several.
type Bundled struct {
	TaskID  uuid.UUID
	Title   string // the task's, as its user wrote it
	DueDate *time.Time
	Overdue bool // an agenda lists it, and it is
}

// MostBundled is how many reminders a message lists. Of the others it says how many there are.
const MostBundled = 100

// maxSubject is how many characters a subject has that lists titles.
const maxSubject = 150

// bundleWords are what such a message says in a language.
type bundleWords struct {
	Count counted `json:"count"`
	More  counted `json:"more"` // those that are not listed
}

// counted is a text with {n}, in each form that a language has for numbers, by the names of CLDR:
// "one", "other" and so on.
type counted map[string]string

// pluralForms are their names.
var pluralForms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

func (m Message) counted(of counted, n int) string {
	form := pluralForms[plural.Cardinal.MatchPlural(m.tag(), n, 0, 0, 0, 0)]
	return strings.ReplaceAll(of[form], "{n}", strconv.Itoa(n))
}

// BundleCount says how many reminders the message tells of: "3 reminders". Of an agenda it says how many tasks are due, and
// overdue.
func (m Message) BundleCount() string {
	if m.Agenda != nil {
		return m.agendaCount()
	}
	return m.counted(m.words().Bundle.Count, len(m.Bundle))
}

// BundleLine says how many reminders the message tells of, and lists their titles, on one line.
func (m Message) BundleLine() string {
	titles := make([]string, len(m.Bundle))
	for i, b := range m.Bundle {
		titles[i] = Message{Title: b.Title}.Headline()
	}
	return m.BundleCount() + ": " + strings.Join(titles, ", ")
}

// BundleListed are the reminders that the message lists, each as a message of its own, which has its
// title and its due date alone.
func (m Message) BundleListed() (listed []Message) {
	for _, b := range m.Bundle[:min(len(m.Bundle), MostBundled)] {
		listed = append(listed, Message{TaskID: b.TaskID, Title: b.Title, DueDate: b.DueDate, Overdue: b.Overdue, Zone: m.Zone, Language: m.Language})
	}
	return listed
}

// BundleMore says how many more reminders there are than the message lists, or tasks of an agenda; "" if there are none.
func (m Message) BundleMore() string {
	if m.Agenda != nil {
		return m.agendaMore()
	}
	if more := len(m.Bundle) - MostBundled; more > 0 {
		return m.counted(m.words().Bundle.More, more)
	}
	return ""
}

func (m Message) bundleSubject() string {
	return Cut(m.BundleLine(), func(s string) bool { return utf8.RuneCountInString(s) <= maxSubject })
}

// bundleText has a paragraph for each reminder.
func (m Message) bundleText() string {
	parts := []string{m.BundleCount()}
	for _, one := range m.BundleListed() {
		parts = append(parts, strings.TrimSpace(one.Headline()+"\n"+one.Due()))
	}
	if more := m.BundleMore(); more != "" {
		parts = append(parts, more)
	}
	return text.Clean(strings.Join(parts, "\n\n"), "\n")
}
