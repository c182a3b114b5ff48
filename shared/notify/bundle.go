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

// Bundled is one reminder in the message of a bundle.
type Bundled struct {
	TaskID  uuid.UUID
	Title   string // the task's, as the user wrote it
	DueDate *time.Time
	// Links are how the reader acts on this task. Only e-mails show them.
	Links Links
	// Overdue says that a task of an agenda is overdue.
	Overdue bool
}

// MostBundled is how many reminders a message lists. It only counts the others.
const MostBundled = 100

// maxSubject is the greatest length, in characters, of a subject that lists titles.
const maxSubject = 150

// bundleWords are the words of a bundle's message in a language.
type bundleWords struct {
	Count counted `json:"count"`
	More  counted `json:"more"` // those that are not listed
}

// counted is a text with {n}, in each plural form of a language, by its name in CLDR: "one",
// "other" and so on.
type counted map[string]string

// pluralForms are the names of the plural forms in CLDR.
var pluralForms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

func (m Message) counted(of counted, n int) string {
	form := pluralForms[plural.Cardinal.MatchPlural(m.tag(), n, 0, 0, 0, 0)]
	return strings.ReplaceAll(of[form], "{n}", strconv.Itoa(n))
}

// BundleCount returns how many reminders the message has: "3 reminders". For an agenda it returns how
// many tasks are due and overdue.
func (m Message) BundleCount() string {
	if m.Agenda != nil {
		return m.agendaCount()
	}
	return m.counted(m.words().Bundle.Count, len(m.Bundle))
}

// BundleLine returns how many reminders the message has and their titles, on one line.
func (m Message) BundleLine() string {
	titles := make([]string, len(m.Bundle))
	for i, b := range m.Bundle {
		titles[i] = Message{Title: b.Title}.Headline()
	}
	return m.BundleCount() + ": " + strings.Join(titles, ", ")
}

// BundleListed returns the reminders that the message lists, each as a message with title, due date
// and links only.
func (m Message) BundleListed() (listed []Message) {
	for _, b := range m.Bundle[:min(len(m.Bundle), MostBundled)] {
		listed = append(listed, Message{TaskID: b.TaskID, Title: b.Title, DueDate: b.DueDate, Links: b.Links, Overdue: b.Overdue, Zone: m.Zone, Language: m.Language})
	}
	return listed
}

// BundleMore returns the text for how many further reminders, or tasks of an agenda, the message does not list; "" if there
// are none.
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

// bundleText returns a paragraph for each reminder, with its links.
func (m Message) bundleText() string {
	parts := []string{m.BundleCount()}
	for _, one := range m.BundleListed() {
		part := strings.TrimSpace(one.Headline() + "\n" + one.Due())
		for _, a := range one.Actions() {
			part += "\n" + a.Text + ": " + a.URL
		}
		parts = append(parts, part)
	}
	if more := m.BundleMore(); more != "" {
		parts = append(parts, more)
	}
	return text.Clean(strings.Join(parts, "\n\n"), "\n")
}
