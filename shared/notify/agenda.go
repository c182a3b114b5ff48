package notify

import "strings"

// Agenda is what an agenda tells: what is due on a day, and what is overdue. Nothing is in both.
type Agenda struct {
	Day            string // such as 2026-12-01
	Today, Overdue int    // how many tasks there are
	Tasks          []Bundled
}

// Empty reports whether it tells nothing.
func (a Agenda) Empty() bool { return a.Today+a.Overdue == 0 }

// Count counts a task.
func (a *Agenda) Count(overdue bool) {
	if overdue {
		a.Overdue++
	} else {
		a.Today++
	}
}

// Tells has the message tell an agenda.
func (m Message) Tells(a Agenda) Message {
	m.Agenda, m.Bundle = &a, append([]Bundled{}, a.Tasks...)
	return m
}

// agendaWords are what an agenda says in a language.
type agendaWords struct {
	Today   counted `json:"today"`
	Overdue counted `json:"overdue"`
	More    counted `json:"more"` // those that are not listed
}

// agendaCount is "3 due today, 2 overdue". What there is none of it leaves out.
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

// maxInbox is how many characters the in-app notification of an agenda has.
const maxInbox = 4000

// InApp is the in-app notification that an agenda becomes.
func (m Message) InApp() (title, body string) {
	body = m.bundleText()
	_, body, _ = strings.Cut(body, "\n\n") // without the count, which is the title
	return m.BundleCount(), Cut(body, func(s string) bool { return len(s) <= maxInbox })
}
