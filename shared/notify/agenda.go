package notify

import "strings"

// Agenda is the content of an agenda: the tasks that are due on its day, and those that are
// overdue. No task counts as both.
type Agenda struct {
	Day            string // such as 2026-12-01
	Today, Overdue int    // how many tasks there are, listed or not
	Tasks          []Bundled
}

// Empty reports whether there is nothing to tell.
func (a Agenda) Empty() bool { return a.Today+a.Overdue == 0 }

// Count counts one task, as overdue or as due on the day.
func (a *Agenda) Count(overdue bool) {
	if overdue {
		a.Overdue++
	} else {
		a.Today++
	}
}

// Tells returns the message with an agenda as its content.
func (m Message) Tells(a Agenda) Message {
	m.Agenda, m.Bundle = &a, append([]Bundled{}, a.Tasks...)
	return m
}

// agendaWords are the words of an agenda in one language.
type agendaWords struct {
	Today   counted `json:"today"`
	Overdue counted `json:"overdue"`
	More    counted `json:"more"` // tasks that are not listed
}

// agendaCount returns the counts, such as "3 due today, 2 overdue". It leaves out a count of zero.
func (m Message) agendaCount() string {
	w := m.words().Agenda
	var parts []string
	if m.Agenda.Today > 0 {
		parts = append(parts, m.counted(w.Today, m.Agenda.Today))
	}
	if m.Agenda.Overdue > 0 {
		parts = append(parts, m.counted(w.Overdue, m.Agenda.Overdue))
	}
	return strings.Join(parts, ", ")
}

func (m Message) agendaMore() string {
	if more := m.Agenda.Today + m.Agenda.Overdue - len(m.BundleListed()); more > 0 {
		return m.counted(m.words().Agenda.More, more)
	}
	return ""
}

// maxInbox is the greatest length of the body of an agenda's in-app notification, in bytes.
const maxInbox = 4000

// InApp returns the title and the body of an agenda's in-app notification.
func (m Message) InApp() (title, body string) {
	body = m.bundleText()
	_, body, _ = strings.Cut(body, "\n\n") // without the counts, which are the title
	return m.BundleCount(), Cut(body, func(s string) bool { return len(s) <= maxInbox })
}
