// Package push writes the texts of push messages. The packages of providers send them.
package push

import (
	"strings"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/text"
)

// maxBody keeps a message within the 4 KiB that Apple's and Google's services allow, even with the
// longest title (500 characters of four bytes) and our ids.
const maxBody = 1600

// Title returns the message's title on one line. For a bundle it is the number of reminders.
func Title(m notify.Message) string {
	if m.Bundle != nil {
		return m.BundleCount()
	}
	return m.Headline()
}

// aroundActions is the space for the names of the links and buttons.
const aroundActions = 160

// Body returns the message's text: when it is due, and the notes, cut if need be. It leaves room
// for the actions. A bundle has one line for each reminder.
func Body(m notify.Message) string {
	most := maxBody
	for i, a := range m.Actions() {
		if i == 0 {
			most -= aroundActions
		}
		most -= len(a.URL)
	}
	body := text.Clean(strings.TrimSpace(m.Due()+"\n"+m.Notes), "\n")
	if m.Bundle != nil {
		body = lines(m)
	}
	return notify.Cut(body, func(s string) bool { return len(s) <= most })
}

func lines(m notify.Message) string {
	var lines []string
	for _, one := range m.BundleListed() {
		line := one.Headline()
		if one.DueDate != nil {
			line += ": " + one.Due()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Data returns the values for the app: the task's id, unless the message is about several tasks,
// and the URLs to which the buttons post, done_url and snooze_url.
func Data(m notify.Message) map[string]string {
	data := map[string]string{}
	if m.Bundle == nil {
		data["task_id"] = m.Task()
	}
	for _, a := range m.Actions() {
		data[a.ID+"_url"] = a.URL
	}
	return data
}
